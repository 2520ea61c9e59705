"""What LavinMQ 2.1.0 said to `option amqp-check`, byte for byte, and a server that says it again.

LavinMQ is built from its source in Crystal, which no registry has; so it is not run here. What runs
showed is in docs/decisions/0140 and 0141. Owns nothing but the talk.
"""

from __future__ import annotations

START = (
    b"\1\0\0\0\0\1@\0\n\0\n\0\t\0\0\1\x1b\7productS\0\0\0\7LavinMQ\10platformS\0\0\0\x0eCrystal "
    b"1.14.0\7versionS\0\0\0\x052.1.0\x0ccapabilitiesF\0\0\0\xc7\x12publisher_confirmst\1"
    b"\x1aexchange_exchange_bindingst\1\nbasic.nackt\1\x16consumer_cancel_notifyt\1"
    b"\x12connection.blockedt\1\x13consumer_prioritiest\1\x1cauthentication_failure_closet\1"
    b"\x10per_consumer_qost\1\x0fdirect_reply_tot\1\0\0\0\x0eAMQPLAIN PLAIN\0\0\0\5en_US\xce"
)
TUNE = b"\1\0\0\0\0\0\x0c\0\n\0\x1e\x08\0\0\2\0\0\1,\xce"
TUNE_OF_ONE_CHANNEL = b"\1\0\0\0\0\0\x0c\0\n\0\x1e\0\1\0\2\0\0\1,\xce"
OPEN_OK = b"\1\0\0\0\0\0\5\0\n\0)\0\xce"
CHANNEL_OPEN_OK = b"\1\0\1\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce"
QOS_OK = b"\1\0\1\0\0\0\4\0<\0\x0b\xce"
SECOND_CHANNEL_OPEN_OK = b"\1\0\2\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce"
SECOND_CHANNEL_CLOSE_OK = b"\1\0\2\0\0\0\4\0\x14\0)\xce"
LOW_ON_DISK = (
    b"\1\0\2\0\0\x009\0\x14\0(\1\x96.PRECONDITION_FAILED - Server low on disk space\0<\0(\xce"
)
NO_WRITING = (
    b"\1\0\2\0\0\0F\0\x14\0(\1\x93;ACCESS_REFUSED - User not allowed to publish to exchange ''"
    b"\0<\0(\xce"
)
ACCESS_REFUSED = b"\1\0\0\0\0\0\x19\0\n\x002\1\x93\x0eACCESS_REFUSED\0\n\0\x0b\xce"
NO_VHOST = b"\1\0\0\0\0\0(\0\n\x002\2\x12\x1dNOT_ALLOWED - vhost not found\0\n\0(\xce"
SHUTDOWN = b"\1\0\0\0\0\0.\0\n\x002\1@#CONNECTION_FORCED - Broker shutdown\0\0\0\0\xce"

# What the check sends: method frames, whole.
QUESTION = b"\1\0\1\0\0\0\x0b\0<\0\n\0\0\0\0\0\0\0\xce"  # basic.qos
SECOND_CHANNEL_OPEN = b"\1\0\2\0\0\0\5\0\x14\0\n\0\xce"
PUBLISH = b"\1\0\2\0\0\0\t\0<\0(\0\0\0\0\0\xce"
SECOND_CHANNEL_CLOSE = b"\1\0\2\0\0\0\x12\0\x14\0(\0\xc8\7Goodbye\0\0\0\0\xce"
SECOND_CHANNEL_CLOSED = SECOND_CHANNEL_CLOSE_OK

_HEADER = b"AMQP\0\0\t\1"
_ANSWERS = {
    (0, 10, 11): b"",  # start-ok: see _answer
    (0, 10, 31): b"",  # tune-ok
    (0, 10, 40): OPEN_OK,
    (0, 10, 50): b"\1\0\0\0\0\0\4\0\n\x003\xce",  # connection.close: close-ok
    (1, 20, 10): CHANNEL_OPEN_OK,
    (1, 60, 10): QOS_OK,
    (2, 20, 10): SECOND_CHANNEL_OPEN_OK,
    (2, 20, 40): SECOND_CHANNEL_CLOSE_OK,
    (2, 20, 41): b"",  # close-ok
}


class LavinMq:
    """One connection's server side: `feed` takes whole frames, and returns what is answered.

    Methods it does not know, and a second publish on a channel, are a KeyError or AssertionError.
    `warnings` counts what it would have written to its log.
    """

    def __init__(self, low_on_disk: bool = False, may_write: bool = True) -> None:
        self.low_on_disk = low_on_disk
        self.may_write = may_write
        self.silent = False
        self.tune = TUNE
        self.publishes = 0
        self.warnings = 0
        self._channel_is_open = False
        self._begun = False
        self._owed = b""

    def feed(self, data: bytes) -> bytes:
        """Take frames; return the answers, none as long as it is silent."""
        answers = self._owed
        if data.startswith(_HEADER):
            answers += START
            data = data[len(_HEADER) :]
        while data:
            end = 8 + int.from_bytes(data[3:7], "big")
            answers += self._answer(data[:end])
            data = data[end:]
        answers, self._owed = (b"", answers) if self.silent else (answers, b"")
        return answers

    def _answer(self, frame: bytes) -> bytes:
        assert frame[0] == 1, "a content"
        channel, class_id, method_id = (
            int.from_bytes(frame[at : at + 2], "big") for at in (1, 7, 9)
        )
        method = channel, class_id, method_id
        if method == (0, 10, 11):
            return self.tune
        if method == (2, 60, 40):
            return self._publish()
        if method == (2, 20, 10):
            assert not self._channel_is_open
            self._channel_is_open, self._begun = True, False
        elif method in ((2, 20, 40), (2, 20, 41)):
            self._channel_is_open = False
        return _ANSWERS[method]

    def _publish(self) -> bytes:
        assert self._channel_is_open
        assert not self._begun
        self._begun = True
        self.publishes += 1
        if not self.may_write or self.low_on_disk:
            self.warnings += 1
        if not self.may_write:
            return NO_WRITING
        return LOW_ON_DISK if self.low_on_disk else b""
