"""What a configuration asks of TCP and TLS reaches the driver, and nothing else does."""

from __future__ import annotations

from rabbitry.balancer.configuration.model import BindLine, Keepalive, ServerLine, ServerTls
from rabbitry.balancer.link_options import client_link_options, server_link_options, tls_of
from rabbitry.machine import Address, LinkOptions, LinkTls

HERE = Address("127.0.0.1", 1)
TIMES = Keepalive(idle_s=60, interval_s=10, count=3)


def test_plain_links_have_no_options() -> None:
    assert server_link_options(ServerLine("a", HERE), None) is None
    assert client_link_options(BindLine(HERE), None) is None


def test_keepalive_with_and_without_times() -> None:
    assert server_link_options(ServerLine("a", HERE), Keepalive()) == LinkOptions(keepalive=True)
    timed = LinkOptions(
        keepalive=True, keepalive_idle_s=60, keepalive_interval_s=10, keepalive_count=3
    )
    assert server_link_options(ServerLine("a", HERE), TIMES) == timed
    assert client_link_options(BindLine(HERE), TIMES) == timed


def test_source_and_tcp_ut() -> None:
    line = ServerLine("a", HERE, source=Address("127.0.0.2", 0), tcp_user_timeout_us=2_500_000)
    assert server_link_options(line, None) == LinkOptions(
        source=Address("127.0.0.2", 0), tcp_user_timeout_ms=2500
    )
    bind = BindLine(HERE, tcp_user_timeout_us=30_000_000)
    assert client_link_options(bind, None) == LinkOptions(tcp_user_timeout_ms=30_000)


def test_tls_towards_a_server() -> None:
    tls = ServerTls(ca_file="ca.pem", certificate="me.pem", sni="amqp.test", verify_host="x.test")
    options = server_link_options(ServerLine("a", HERE, tls=tls), None)
    assert options == LinkOptions(
        tls=LinkTls(ca_file="ca.pem", crt="me.pem", sni="amqp.test", verify_host="x.test")
    )
    tls = ServerTls(
        *("none", None, None, None, None, ("amqp",), "HIGH", None, "TLSv1.2", "TLSv1.3"),
        tickets=False,
        crl_file="r",
        reuse=False,
    )
    assert tls_of(tls) == LinkTls(
        verify=False,
        crl_file="r",
        ciphers="HIGH",
        minimum_version="TLSv1.2",
        maximum_version="TLSv1.3",
        alpn=("amqp",),
        tickets=False,
        reuse=False,
    )
    options = server_link_options(ServerLine("a", HERE, tls=ServerTls(verify="none")), None)
    assert options == LinkOptions(tls=LinkTls(verify=False))
