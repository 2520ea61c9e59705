"""Tests of where checks lead."""

from __future__ import annotations

from support.checked_server import PLACE, CheckedServer, line

from rabbitry.balancer.checking.results import Connect
from rabbitry.balancer.checking.targets import Target, agent_target, health_target
from rabbitry.balancer.configuration.model import ServerTls
from rabbitry.balancer.servers import Server
from rabbitry.machine import Address, LinkOptions, LinkTls

OTHER = Address("127.0.0.2", 8080)
LOCAL_HEADER = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
WRITTEN = Connect(by_default=False)
TLS = ServerTls(verify="none", sni="rabbit")


def server(**settings: object) -> Server:
    return CheckedServer(line(**settings)).server


def test_a_check_goes_where_sessions_go() -> None:
    assert health_target(server(), Connect()) == Target(PLACE, None)


def test_it_follows_a_server_that_was_moved() -> None:
    moved = server()
    moved.address = OTHER
    assert health_target(moved, Connect()).address == OTHER


def test_addr_and_port_lead_elsewhere_and_plainly() -> None:
    target = health_target(server(check_address=OTHER, tls=TLS, send_proxy=1), Connect())
    assert target == Target(OTHER, None)


def test_tls_and_proxy_are_those_of_checks() -> None:
    target = health_target(server(check_tls=TLS, check_send_proxy=1), Connect())
    assert target.options is not None
    assert target.options.tls == LinkTls(verify=False, sni="rabbit")
    assert target.tls
    assert target.options.names_itself
    target = health_target(server(check_send_proxy=2), Connect())
    assert not target.tls
    assert target.options == LinkOptions(greeting=LOCAL_HEADER)


def test_a_written_connect_says_all_itself() -> None:
    secure = server(check_tls=TLS, check_send_proxy=1)
    assert health_target(secure, WRITTEN) == Target(PLACE, None)
    step = Connect(port=21, tls=True, send_proxy=True, by_default=False, sni="other")
    target = health_target(secure, step)
    assert target.address == Address(PLACE.host, 21)
    assert target.options is not None
    assert target.options.tls == LinkTls(verify=False, sni="other")
    assert target.options.names_itself
    elsewhere = server(check_address=OTHER, send_proxy=2)
    assert health_target(elsewhere, step).options == LinkOptions(
        tls=LinkTls(verify=False, sni="other"), greeting=LOCAL_HEADER
    )
    assert health_target(secure, Connect(OTHER, by_default=False)).address == OTHER


def test_agents_are_asked_in_plain() -> None:
    assert agent_target(server(agent_address=OTHER, tls=TLS)) == Target(OTHER, None)
    assert agent_target(server()).address == PLACE


def test_a_failure_under_tls_may_be_one_of_tls() -> None:
    plain = health_target(server(), Connect())
    secure = health_target(server(check_tls=TLS), Connect())
    assert plain.failure("wrong version number") == ("L4CON", "wrong version number")
    assert secure.failure("wrong version number") == ("L6RSP", "SSL handshake failure")
    assert secure.failure("Connection reset by peer") == ("L6RSP", "SSL handshake failure")
    assert secure.failure("Connection refused") == ("L4CON", "Connection refused")
    for target in (plain, secure):
        assert target.failure("Too many open files") == ("SOCKERR", "Too many open files")
