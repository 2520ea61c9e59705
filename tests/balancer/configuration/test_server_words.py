"""Tests of `server` and `default-server` lines."""

from __future__ import annotations

import pytest
from support.configuration_text import mistake, server, warnings

from rabbitry.balancer.configuration.model import ServerLine, ServerTls
from rabbitry.machine import Address

HERE = Address("127.0.0.1", 3)


def test_a_bare_server_has_haproxys_defaults() -> None:
    assert server("127.0.0.1:3") == ServerLine("t", HERE, id=2)


def test_all_words() -> None:
    words = (
        "check inter 1s fastinter 2 downinter 3ms rise 4 fall 5 weight 6 backup disabled id 9 "
        "maxconn 10 minconn 2 maxqueue 3 slowstart 1500ms error-limit 7 observe layer4 on-error "
        "mark-down on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions "
        "tcp-ut 8s source 10.0.0.1:77 send-proxy-v2"
    )
    assert server(f"127.0.0.1:3 {words}") == ServerLine(
        "t",
        HERE,
        check=True,
        inter_us=1_000_000,
        fastinter_us=2_000,
        downinter_us=3_000,
        rise=4,
        fall=5,
        weight=6,
        backup=True,
        disabled=True,
        id=9,
        maxconn=10,
        minconn=2,
        maxqueue=3,
        slowstart_us=2_000_000,
        error_limit=7,
        observe="layer4",
        on_error="mark-down",
        on_marked_down="shutdown-sessions",
        on_marked_up="shutdown-backup-sessions",
        tcp_user_timeout_us=8_000_000,
        source=Address("10.0.0.1", 77),
        send_proxy=2,
        check_send_proxy=2,
    )


def test_default_server_is_beneath_and_can_be_taken_back() -> None:
    lines = "default-server check inter 1s backup send-proxy disabled weight 9 observe layer4"
    line = server("127.0.0.1:3 weight 8", lines)
    assert (line.check, line.backup, line.send_proxy, line.disabled) == (True, True, 1, True)
    assert (line.inter_us, line.weight, line.observe) == (1_000_000, 8, "layer4")
    words = "no-check no-backup no-send-proxy enabled observe none"
    line = server(f"127.0.0.1:3 {words}", lines)
    assert (line.check, line.backup, line.send_proxy, line.disabled) == (False, False, 0, False)
    assert line.observe == ""
    assert server("127.0.0.1:3 no-send-proxy-v2", lines).send_proxy == 1
    line = server("127.0.0.1:3", "default-server check\ndefault-server fall 9")
    assert (line.check, line.fall) == (True, 9)


def test_where_checks_go() -> None:
    def goes(words: str) -> Address | None:
        return server(f"127.0.0.1:3 check {words}").check_address

    assert goes("") is None
    assert goes("port 5") == Address("127.0.0.1", 5)
    assert goes("addr 10.0.0.1") == Address("10.0.0.1", 3)
    assert goes("addr 10.0.0.1 port 5") == Address("10.0.0.1", 5)
    assert goes("addr /run/x") == Address("/run/x", 0)


def test_agents() -> None:
    line = server("127.0.0.1:3 agent-check agent-port 9 agent-inter 7s agent-send hi\\n")
    assert line.agent_check
    assert line.agent_address == Address("127.0.0.1", 9)
    assert (line.agent_inter_us, line.agent_send) == (7_000_000, b"hi\n")
    line = server("127.0.0.1:3 agent-check addr 10.0.0.1 port 8")
    assert line.agent_address == Address("10.0.0.1", 8)
    line = server("127.0.0.1:3 agent-check agent-addr 10.0.0.2 port 8 agent-port 9")
    assert line.agent_address == Address("10.0.0.2", 9)
    assert server("127.0.0.1:3 agent-port 9").agent_address is None


def test_a_lower_limit_alone_is_the_limit() -> None:
    line = server("127.0.0.1:3 minconn 5")
    assert (line.minconn, line.maxconn) == (None, 5)
    line = server("127.0.0.1:3 maxconn 5")
    assert (line.minconn, line.maxconn) == (None, 5)
    line = server("127.0.0.1:3 maxconn 5 minconn 2")
    assert (line.minconn, line.maxconn) == (2, 5)
    assert server("127.0.0.1:3 maxconn 0").maxconn is None


def test_tls() -> None:
    words = (
        "ssl ca-file c crl-file r crt k sni str(rabbit) verifyhost h alpn amqp ssl-min-ver TLSv1.2"
    )
    line = server(f"127.0.0.1:3 {words}", before="ca-base /cas\ncrt-base /certs")
    assert line.tls == ServerTls(
        "required",
        "/cas/c",
        "/certs/k",
        "rabbit",
        "h",
        ("amqp",),
        minimum_version="TLSv1.2",
        crl_file="/cas/r",
    )
    tls = server("127.0.0.1:3 ssl", before="ssl-server-verify none").tls
    assert tls is not None
    assert tls.verify == "none"
    before = "ssl-default-server-ciphers A\nssl-default-server-options force-tlsv12"
    tls = server("127.0.0.1:3 ssl verify none ciphersuites B", before=before).tls
    assert tls == ServerTls(
        "none",
        ciphers="A",
        ciphersuites="B",
        minimum_version="TLSv1.2",
        maximum_version="TLSv1.2",
    )


def test_checks_are_as_the_traffic_unless_they_go_elsewhere() -> None:
    line = server("127.0.0.1:3 check ssl verify none sni str(a) check-sni b send-proxy")
    assert line.check_tls == ServerTls("none", sni="b")
    assert line.check_send_proxy == 1
    line = server("127.0.0.1:3 check ssl verify none send-proxy port 5")
    assert (line.check_tls, line.check_send_proxy) == (None, 0)
    line = server("127.0.0.1:3 check ssl verify none send-proxy-v2 port 5 check-ssl")
    assert line.check_tls == ServerTls("none")
    line = server("127.0.0.1:3 check check-ssl verify none port 5 check-send-proxy")
    assert (line.tls, line.check_send_proxy) == (None, 1)
    assert line.check_tls == ServerTls("none")
    assert server("127.0.0.1:3 check ssl verify none no-check-ssl").check_tls is None
    assert server("127.0.0.1:3 port 5 send-proxy-v2 check-send-proxy").check_send_proxy == 2


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("", "needs HOST:PORT"),
        ("127.0.0.1", "takes its port from the client's"),
        ("127.0.0.1:3 chek", "did you mean 'check'"),
        ("127.0.0.1:3 inter", "needs a time"),
        ("127.0.0.1:3 inter 0", "more than 0"),
        ("127.0.0.1:3 weight 257", "from 0 to 256"),
        ("127.0.0.1:3 rise 0", "from 1"),
        ("127.0.0.1:3 ssl", "nobody to trust"),
        ("127.0.0.1:3 check track s", "beside 'check'"),
        ("127.0.0.1:3 agent-check", "agent-port"),
        ("127.0.0.1:3 sni req.hdr(host)", "str(NAME)"),
        ("127.0.0.1:3 observe layer7", "layer4"),
        ("127.0.0.1:3 on-error panic", "use one of"),
        ("127.0.0.1:3 on-marked-down x", "shutdown-sessions"),
        ("127.0.0.1:3 usesrc clientip", "send-proxy-v2"),
        ("127.0.0.1:3 resolvers", "needs an argument"),
        ("127.0.0.1:3 track x/y", "is no server"),
        ("127.0.0.1:3 agent-addr 127.0.0.1:5", "agent-port"),
    ],
)
def test_mistakes(words: str, advice: str) -> None:
    assert advice in mistake(f"server t {words}")


def test_what_is_of_one_server_is_not_by_default() -> None:
    assert "of one server" in mistake("default-server id 5")


def test_what_tunes_is_ignored_with_a_warning() -> None:
    words = "init-addr last,libc resolvers dns tfo cookie c pool-max-conn 5"
    assert warnings(f"server t 127.0.0.1:3 {words}") == [
        *("init-addr", "resolvers", "tfo", "cookie", "pool-max-conn")
    ]
    words = "ssl verify none no-tls-tickets ciphersuites A"
    assert warnings(f"server t 127.0.0.1:3 {words}") == ["ciphersuites"]
