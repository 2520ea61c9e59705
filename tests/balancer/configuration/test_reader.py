"""Tests of the configuration language, on whole files."""

from __future__ import annotations

import pytest

from rabbitry.balancer.configuration.model import (
    Configuration,
    ConfigurationError,
    StatisticsPage,
)
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Address

CLASSIC = """\
global
    log 127.0.0.1 local0 info
    maxconn 4096
    stats socket /tmp/haproxy.socket uid haproxy mode 770 level admin
    daemon
defaults
    log global
    mode tcp
    option tcplog
    option dontlognull
    retries 3
    option redispatch
    maxconn 2000
    timeout connect 5s
    timeout client 120s
    timeout server 120s
listen rabbitmq_local_cluster 127.0.0.1:5670
    mode tcp
    balance roundrobin
    server rabbit 127.0.0.1:5672 check inter 5000 rise 2 fall 3
    server rabbit_1 127.0.0.1:5673 check inter 5000 rise 2 fall 3
    server rabbit_2 127.0.0.1:5674 check inter 5000 rise 2 fall 3
listen private_monitoring :8100
    mode http
    option httplog
    stats enable
    stats uri /stats
    stats refresh 5s
"""

TIMEOUTS = "timeout connect 1s\ntimeout client 1s\ntimeout server 1s\n"
SMALL = f"listen a\nbind 127.0.0.1:1\n{TIMEOUTS}server s 127.0.0.1:2\n"


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as raised:
        parse(text, "f.cfg")
    return raised.value.mistakes


def small(line: str) -> Configuration:
    return parse(SMALL + line, "f.cfg")


def test_the_classic_listing() -> None:
    configuration = parse(CLASSIC, "classic.cfg")
    assert configuration.process.maxconn == 4096
    front, monitoring = configuration.frontends
    back, rows_only = configuration.backends
    assert (rows_only.mode, rows_only.servers) == ("http", ())
    assert front.name == "rabbitmq_local_cluster"
    assert [bind.address for bind in front.binds] == [Address("127.0.0.1", 5670)]
    assert [server.name for server in back.servers] == ["rabbit", "rabbit_1", "rabbit_2"]
    assert [server.address.port for server in back.servers] == [5672, 5673, 5674]
    assert {(each.inter_us, each.rise, each.fall) for each in back.servers} == {(5_000_000, 2, 3)}
    assert all(server.check for server in back.servers)
    assert (back.retries, back.redispatch, front.maxconn) == (3, -1, 2000)
    assert back.timeout_connect_us == 5_000_000
    assert front.timeout_client_us == back.timeout_server_us == 120_000_000
    assert front.tcplog
    assert front.dontlognull
    assert front.statistics is None
    assert (monitoring.mode, monitoring.binds[0].address) == ("http", Address("0.0.0.0", 8100))
    assert monitoring.statistics == StatisticsPage("/stats", 5_000_000)


def test_what_the_classic_listing_asks_in_vain_is_warned_about() -> None:
    warnings = parse(CLASSIC, "classic.cfg").warnings
    places = [warning.split(" ")[0] for warning in warnings]
    assert places == [f"classic.cfg:{line}:" for line in (4, 17, 23)]


def test_every_mistake_of_a_file_is_told_in_order() -> None:
    text = (
        "listen a 127.0.0.1:1\n"
        "  frob x\n"
        "  servr s 127.0.0.1:2\n"
        "  timeout connect 5x\n"
        "  server s 127.0.0.1:2 chek\n"
        "program p\n"
        "  acl ignored here\n"
        "listen a\n"
        "  acl told here\n"
    )
    told = mistakes(text)
    assert [each.split(": ")[0] for each in told] == [
        f"f.cfg:{line}" for line in (2, 3, 4, 5, 6, 8, 8, 9)
    ]
    assert "'servr'" in told[1]
    assert "did you mean 'server'?" in told[1]
    assert "'5x' is not a time" in told[2]
    assert "did you mean 'check'?" in told[3]
    assert "'program' is not carried out" in told[4]
    assert "name of f.cfg:1 too" in told[5]
    assert "listens nowhere" in told[6]
    assert "no conditions here" in told[7]
    assert all("\n" not in each for each in told)


@pytest.mark.parametrize(
    "line",
    [
        "mode udp",
        "balance uri",
        "balance leastcon",
        "option httpchk",
        "stats auth a",
        "stats uri stats",
        "retries -1",
        "maxconn -1",
        "no option tcplog",
        "retries 1 2",
        "timeout tunel 1h",
        "timeout connect",
        "server t 127.0.0.1",
        "server t 127.0.0.1:2 inter 0",
        "server t 127.0.0.1:2 inter",
        "server t 127.0.0.1:2 rise 0",
        "server t 127.0.0.1:2 weight 257",
        "server s 127.0.0.1:2",
        "bind 127.0.0.1:1 ssl",
        "no mode tcp",
        "acl x src 10.0.0.0/8",
        "daemon",
        "'unclosed",
        "backend a",
        "defaults a from b",
        "listen",
        "mode http",
    ],
)
def test_what_is_not_known_is_refused_by_file_and_line(line: str) -> None:
    told = mistakes(SMALL + line)
    assert len(told) == 1
    assert told[0].startswith(("f.cfg:7: '", "f.cfg:1: '"))


def test_a_section_must_listen_somewhere() -> None:
    assert mistakes("listen a\n") == ("f.cfg:1: 'a' listens nowhere: add 'bind HOST:PORT'",)


def test_a_wrong_bind_is_one_mistake() -> None:
    assert len(mistakes("listen a\nbind nonsense\n")) == 1
    (only,) = mistakes('listen a\n  bind "127.0.0.1:1\n')
    assert "quote" in only


def test_a_word_before_any_section() -> None:
    assert mistakes("mode tcp\n" + SMALL)[0].startswith("f.cfg:1: 'mode' stands in no section")


def test_a_file_without_sections() -> None:
    assert "'listen' is missing" in mistakes("# nothing\n")[0]


def test_http_needs_a_page_and_no_servers() -> None:
    assert "no statistics" in mistakes("listen a 127.0.0.1:1\nmode http\n")[0]


def test_statistics_in_tcp_are_warned_about() -> None:
    configuration = small("stats enable\n")
    assert configuration.frontends[0].statistics is None
    assert configuration.warnings == ("f.cfg:1: 'stats' needs 'mode http': not served here",)


def test_missing_timeouts_are_warned_about_and_unlimited() -> None:
    configuration = parse("listen a 127.0.0.1:1\nserver s 127.0.0.1:2\ntimeout client 0", "f.cfg")
    assert configuration.backends[0].timeout_connect_us is None
    assert configuration.frontends[0].timeout_client_us is None
    assert any(
        "no timeout connect, timeout client, timeout server" in each
        for each in configuration.warnings
    )


def test_old_spellings() -> None:
    text = "listen a 127.0.0.1:1\ncontimeout 1\nclitimeout 2s\nsrvtimeout 3m\nredispatch\n"
    configuration = parse(text + "server s 127.0.0.1:2", "f.cfg")
    (front,), (back,) = configuration.frontends, configuration.backends
    assert back.timeout_connect_us == 1_000
    assert front.timeout_client_us == 2_000_000
    assert back.timeout_server_us == 180_000_000
    assert back.redispatch == -1
    assert [warning.split("'")[1] for warning in configuration.warnings] == [
        "127.0.0.1:1",
        "contimeout",
        "clitimeout",
        "srvtimeout",
        "redispatch",
    ]


def test_options_can_be_taken_back() -> None:
    text = "defaults\noption dontlognull\noption redispatch 2\n" + SMALL
    assert parse(text, "f").backends[0].redispatch == 2
    (pair,) = parse(text + "no option dontlognull\nno option redispatch\n", "f").proxies
    assert [pair[0] and pair[0].dontlognull, pair[1] and pair[1].redispatch] == [False, None]


def test_defaults_replace_the_defaults_before() -> None:
    text = "defaults\nretries 7\n" + SMALL + "defaults\n" + SMALL.replace(" a\n", " b\n")
    first, second = parse(text, "f").backends
    assert (first.retries, second.retries) == (7, 3)


def test_a_section_does_not_change_the_defaults() -> None:
    text = "defaults\nretries 7\n" + SMALL + "retries 1\n" + SMALL.replace(" a\n", " b\n")
    assert [back.retries for back in parse(text, "f").backends] == [1, 7]


def test_server_words() -> None:
    line = "server t h:9 check inter 1s fastinter 2ms downinter 3 rise 4 fall 5 weight 6 backup\n"
    server = small(line).backends[0].servers[1]
    assert server.address == Address("h", 9)
    assert (server.inter_us, server.fastinter_us, server.downinter_us) == (1_000_000, 2000, 3000)
    assert (server.rise, server.fall, server.weight, server.backup) == (4, 5, 6, True)


def test_several_addresses() -> None:
    binds = small("bind 127.0.0.1:3,127.0.0.1:4\nbind [::1]:5\n").frontends[0].binds
    assert [bind.address.port for bind in binds] == [1, 3, 4, 5]


def test_page_has_haproxys_default_address() -> None:
    text = "listen a 127.0.0.1:1\nmode http\nstats enable\n"
    assert parse(text, "f").frontends[0].statistics == StatisticsPage("/haproxy?stats", None)
    text += "stats refresh 7\n"
    assert parse(text, "f").frontends[0].statistics == StatisticsPage("/haproxy?stats", 7_000_000)
