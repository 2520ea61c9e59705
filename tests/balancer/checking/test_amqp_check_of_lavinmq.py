"""`option amqp-check` of a LavinMQ: what LavinMQ 2.1.0 said to this very check, byte for byte.

LavinMQ is built from its source in Crystal, which no registry has; so it is not run here. What a
run showed is in docs/decisions/0140.
"""

from __future__ import annotations

import pytest
from support.checked_server import MS, CheckedServer, bytes_sent, line, links_opened

from rabbitry.balancer.checking.amqp_checker import AmqpChecker
from rabbitry.balancer.configuration.model import AmqpCheck

START = (
    b"\1\0\0\0\0\1@\0\n\0\n\0\t\0\0\1\x1b\7productS\0\0\0\7LavinMQ\10platformS\0\0\0\x0eCrystal "
    b"1.14.0\7versionS\0\0\0\x052.1.0\x0ccapabilitiesF\0\0\0\xc7\x12publisher_confirmst\1"
    b"\x1aexchange_exchange_bindingst\1\nbasic.nackt\1\x16consumer_cancel_notifyt\1"
    b"\x12connection.blockedt\1\x13consumer_prioritiest\1\x1cauthentication_failure_closet\1"
    b"\x10per_consumer_qost\1\x0fdirect_reply_tot\1\0\0\0\x0eAMQPLAIN PLAIN\0\0\0\5en_US\xce"
)
TUNE = b"\1\0\0\0\0\0\x0c\0\n\0\x1e\x08\0\0\2\0\0\1,\xce"
OPEN_OK = b"\1\0\0\0\0\0\5\0\n\0)\0\xce"
CHANNEL_OPEN_OK = b"\1\0\1\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce"
QOS_OK = b"\1\0\1\0\0\0\4\0<\0\x0b\xce"
QUESTION = b"\1\0\1\0\0\0\x0b\0<\0\n\0\0\0\0\0\0\0\xce"  # ours: basic.qos
ACCESS_REFUSED = b"\1\0\0\0\0\0\x19\0\n\x002\1\x93\x0eACCESS_REFUSED\0\n\0\x0b\xce"
NO_VHOST = b"\1\0\0\0\0\0(\0\n\x002\2\x12\x1dNOT_ALLOWED - vhost not found\0\n\0(\xce"
SHUTDOWN = b"\1\0\0\0\0\0.\0\n\x002\1@#CONNECTION_FORCED - Broker shutdown\0\0\0\0\xce"


def said(*answers: bytes) -> CheckedServer:
    """A server after it has said this on the first connection."""
    section = AmqpCheck()
    stage = CheckedServer(line(inter_us=1000 * MS, fall=3, rise=2), amqp_check=section)
    checker = AmqpChecker(stage.desk, stage.backend, stage.server, section, 0)
    (link,) = links_opened(stage.begin(checker))
    stage.opened(link)
    for answer in answers:
        stage.received(link, answer)
    return stage


def test_it_is_up_and_named() -> None:
    stage = said(START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, QOS_OK)
    assert (stage.found, stage.server.status) == (("L7OK", "LavinMQ 2.1.0"), "UP")


def test_nothing_but_the_question_is_asked_of_it() -> None:
    """It tells nobody that it blocks, and would hold a message that was begun against the next."""
    stage = said(START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, QOS_OK)
    for _ in range(40):
        assert bytes_sent(stage.pass_time(500)) == [QUESTION]
        assert bytes_sent(stage.received(-1, QOS_OK)) == []
    assert stage.server.status == "UP"


@pytest.mark.parametrize(
    ("answers", "found", "status"),
    [
        (
            (START, ACCESS_REFUSED),
            ("L7STS", "refuses the login of user 'guest': 403 ACCESS_REFUSED"),
            "DOWN",
        ),
        (
            (START, TUNE, NO_VHOST),
            ("L7STS", "refuses virtual host '/': 530 NOT_ALLOWED - vhost not found"),
            "DOWN",
        ),
        (
            (START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, QOS_OK, SHUTDOWN),
            ("L7OKC", "is leaving: 320 CONNECTION_FORCED - Broker shutdown"),
            "NOLB",
        ),
    ],
)
def test_its_refusals_and_its_farewell_are_told_apart(
    answers: tuple[bytes, ...], found: tuple[str, str], status: str
) -> None:
    stage = said(*answers)
    assert (stage.found, stage.server.status) == (found, status)
