"""The PROXY protocol, beside HAProxy 2.6: what servers are told of clients, what is believed."""

# ruff: noqa: E501 - lines of the log are as long as they are
from __future__ import annotations

import os
import re
import signal
import socket
import struct

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import play
from support.scripted_servers import Arrival, Behaviour, listens

ONE = """
listen front
    bind 127.0.0.1:{front} %s
    server s1 127.0.0.1:{s1} %s
"""
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


def v2_of(source: str, target: str, source_port: int, target_port: int) -> bytes:
    hosts = socket.inet_aton(source) + socket.inet_aton(target)
    return v2(1, 0x11, hosts + struct.pack("!HH", source_port, target_port))


def what_came(side: Side) -> str:
    """What the server got, with `N` for the client's port."""
    data = side.servers["s1"].arrival(0).wait()[0]
    return re.sub(r"(?<=\d )\d+(?= \d+\r)", "N", data.decode("latin-1"))


def told_after(header: bytes) -> object:
    """A client begins with this header: what the server gets, and the log says of the client."""

    def script(side: Side) -> object:
        link = side.connect()
        link.send(header + b"hello")
        link.finish()
        link.ends()
        line = side.sessions(1)[0]
        return (
            side.servers["s1"].arrival(0).wait(),
            re.sub(r"(?<=^127.0.0.1:).*", "N", line.client),
            line.told,
        )

    return script


def refused_after(header: bytes) -> object:
    """A client begins with this header, which is none."""

    def script(side: Side) -> object:
        link = side.connect()
        link.send(header)
        ending = link.ends()
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return ending[0], side.log.told_of_clients(), side.servers["s1"].arrivals

    return script


def greets_after_a_line(arrival: Arrival) -> None:
    arrival.line()
    arrival.send(b"hello\n")
    arrival.rest()  # what follows the header may come after it


def test_send_proxy() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"hello")
        link.finish()
        link.ends()
        return side.neutral(what_came(side)), side.told(1)

    assert play(ONE % ("", "send-proxy"), script, {"s1": listens}) == (
        "PROXY TCP4 127.0.0.1 127.0.0.1 N {front}\r\nhello",
        ["front front/s1 N/N 0 -- 1/1/0/0/0 0/0"],
    )


def test_send_proxy_v2() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        port = link.sock.getsockname()[1]
        link.send(b"hello")
        link.finish()
        link.ends()
        data = side.servers["s1"].arrival(0).wait()[0]
        expected = v2_of("127.0.0.1", "127.0.0.1", port, side.names["front"]) + b"hello"
        return data == expected

    assert play(ONE % ("", "send-proxy-v2"), script, {"s1": listens}) is True


def test_send_proxy_of_ipv6_clients() -> None:
    def script(side: Side) -> object:
        link = side.connect(host="::1")
        link.send(b"hello")
        link.finish()
        link.ends()
        return side.neutral(what_came(side))

    text = ONE.replace("bind 127.0.0.1:{front}", "bind ::1:{front}")
    assert (
        play(text % ("", "send-proxy"), script, {"s1": listens})
        == "PROXY TCP6 ::1 ::1 N {front}\r\nhello"
    )


def test_send_proxy_of_a_unix_client() -> None:
    def script(side: Side) -> object:
        link = side.connect("unix_front")
        link.send(b"hello")
        link.finish()
        link.ends()
        return side.servers["s1"].arrival(0).wait()

    text = ONE.replace("bind 127.0.0.1:{front}", "bind unix@{unix_front}")
    assert play(text % ("", "send-proxy"), script, {"s1": listens}) == (
        b"PROXY UNKNOWN\r\nhello",
        "fin",
    )


def test_send_proxy_v2_of_a_unix_client() -> None:
    def script(side: Side) -> object:
        link = side.connect("unix_front")
        link.send(b"hello")
        link.finish()
        link.ends()
        data = side.servers["s1"].arrival(0).wait()[0]
        return data[:16], len(data)

    text = ONE.replace("bind 127.0.0.1:{front}", "bind unix@{unix_front}")
    assert play(text % ("", "send-proxy-v2"), script, {"s1": listens}) == (
        b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x00",
        21,
    )


def test_check_sends_proxy_v2_where_the_server_has_it() -> None:
    def script(side: Side) -> object:
        return side.servers["s1"].arrival(0).wait()[0][:14]

    text = ONE % ("", "check inter 300 send-proxy-v2 check-send-proxy")
    text = text.replace(
        "server",
        "option tcp-check\n    tcp-check send x\\n\n    tcp-check expect string hello\n    server",
    )
    assert play(text, script, {"s1": greets_after_a_line}) == b"\r\n\r\n\x00\r\nQUIT\n \x00"


def test_accept_proxy() -> None:
    script = told_after(b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n")
    assert play(ONE % ("accept-proxy", ""), script, {"s1": listens}) == (
        (b"hello", "fin"),
        "192.0.2.7:4321",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_accept_proxy_for_ipv6() -> None:
    script = told_after(b"PROXY TCP6 2001:db8::7 2001:db8::8 4321 5672\r\n")
    assert play(ONE % ("accept-proxy", ""), script, {"s1": listens}) == (
        (b"hello", "fin"),
        "2001:db8::7:4321",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_accept_proxy_unknown() -> None:
    script = told_after(b"PROXY UNKNOWN\r\n")
    assert play(ONE % ("accept-proxy", ""), script, {"s1": listens}) == (
        (b"hello", "fin"),
        "127.0.0.1:N",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_accept_proxy_v2() -> None:
    script = told_after(v2_of("192.0.2.7", "192.0.2.8", 4321, 5672))
    assert play(ONE % ("accept-proxy", ""), script, {"s1": listens}) == (
        (b"hello", "fin"),
        "192.0.2.7:4321",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_accept_proxy_v2_local() -> None:
    script = told_after(v2(0, 0, b""))
    assert play(ONE % ("accept-proxy", ""), script, {"s1": listens}) == (
        (b"hello", "fin"),
        "127.0.0.1:N",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_accept_proxy_v2_with_more_than_addresses() -> None:
    hosts = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.8")
    extra = b"\x04\0\x04none"  # a no-op of four bytes
    script = told_after(v2(1, 0x11, hosts + struct.pack("!HH", 4321, 5672) + extra))
    assert play(ONE % ("accept-proxy", ""), script, {"s1": listens}) == (
        (b"hello", "fin"),
        "192.0.2.7:4321",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_what_is_accepted_is_sent_on() -> None:
    script = told_after(b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n")
    assert play(ONE % ("accept-proxy", "send-proxy"), script, {"s1": listens}) == (
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\nhello", "fin"),
        "192.0.2.7:4321",
        "front front/s1 N/N 0 -- 1/1/0/0/0 0/0",
    )


def test_source_hash_of_who_is_told_of() -> None:
    def script(side: Side) -> object:
        names = []
        for host in range(1, 9):
            link = side.connect()
            link.send(b"PROXY TCP4 192.0.2.%d 192.0.2.99 4321 5672\r\n" % host)
            names.append(link.line())
            link.close()
        return names

    text = ONE % ("accept-proxy", "") + "    server s2 127.0.0.1:{s2}\n    balance source\n"
    assert play(text, script) == ["s2", "s1", "s2", "s1", "s2", "s1", "s2", "s1"]


def test_header_that_is_none() -> None:
    assert play(ONE % ("accept-proxy", ""), refused_after(b"AMQP\0\0\x09\x01" * 2)) == (
        b"",
        [
            "127.0.0.1:N [N] front/1: Received something which does not look like a PROXY protocol header"
        ],
        [],
    )


def test_header_of_another_protocol() -> None:
    assert play(ONE % ("accept-proxy", ""), refused_after(b"PROXY TCP9 1 2 3 4\r\n")) == (
        b"",
        ["127.0.0.1:N [N] front/1: Received an unhandled protocol in the PROXY protocol header"],
        [],
    )


def test_v2_header_of_a_wrong_version() -> None:
    header = SIGNATURE + b"\x31\x11\0\x0c" + bytes(12)
    assert play(ONE % ("accept-proxy", ""), refused_after(header)) == (
        b"",
        [
            "127.0.0.1:N [N] front/1: Received something which does not look like a PROXY protocol header"
        ],
        [],
    )


def test_client_that_goes_before_its_header_is_whole() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"PROXY TCP4 192.0")
        link.finish()
        ending = link.ends()[0]
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return ending, side.log.told_of_clients()

    assert play(ONE % ("accept-proxy", ""), script) == (
        b"",
        ["127.0.0.1:N [N] front/1: Truncated PROXY protocol header received"],
    )


def test_a_client_that_resets_behind_its_header() -> None:
    """As checks of another balancer do: no server is troubled. Both are there when it is read."""

    def script(side: Side) -> object:
        os.kill(side.process, signal.SIGSTOP)
        try:
            link = side.connect()
            link.send(v2_of("192.0.2.7", "192.0.2.8", 1000, 2000))
            link.reset()
        finally:
            os.kill(side.process, signal.SIGCONT)
        line = side.sessions(1)[0]
        row = side.figures("stot", "cli_abrt", "econ", "eresp")
        return line.client, line.told, side.servers["s1"].arrivals, row["s1"], row["BACKEND"]

    assert play(ONE % ("accept-proxy", ""), script) == (
        "192.0.2.7:1000",
        "front front/<NOSRV> -1/-1 0 CR 1/1/0/0/0 0/0",
        [],
        ["0", "0", "0", "0"],
        ["1", "1", "0", "0"],
    )


def greets_after(last: bytes) -> Behaviour:
    """A check that ends resets its connection, and what has not been read by then is lost."""

    def serve(arrival: Arrival) -> None:
        while last not in arrival.received and arrival.exactly(1):
            pass
        arrival.send(b"hello\n")
        arrival.rest()

    return serve


CHECKS_THAT_TELL = {
    "a_step": (
        "option tcp-check\n    tcp-check connect send-proxy\n    tcp-check send x\\r\n",
        "send-proxy",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 N N\r\nx\r",
    ),
    "a_script": (
        "option tcp-check\n    tcp-check expect string hello",
        "check-send-proxy",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 N N\r\n",
    ),
    "as_sessions": (
        "option tcp-check\n    tcp-check expect string hello",
        "send-proxy",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 N N\r\n",
    ),
    "version_2": (
        "option tcp-check\n    tcp-check send x\\r\n",
        "send-proxy-v2 check-send-proxy",
        v2(0, 0, b"") + b"x\r",
    ),
    "a_step_in_version_2": (
        "option tcp-check\n    tcp-check connect send-proxy\n    tcp-check send x\\r\n",
        "send-proxy-v2 port {s1}",
        v2(0, 0, b"") + b"x\r",
    ),
}


@pytest.mark.parametrize("name", CHECKS_THAT_TELL)
def test_checks_tell_of_themselves(name: str) -> None:
    """Version 1 names the check's own two addresses, version 2 says LOCAL."""
    steps, words, truth = CHECKS_THAT_TELL[name]

    def script(side: Side) -> object:
        data, _ = side.servers["s1"].arrival(0).wait()
        return re.sub(rb"\d+ \d+\r", b"N N\r", data)

    # As long as the interval a check may take, on a busy machine too; the first comes at once.
    text = ONE % ("", f"check inter 5s {words}")
    text = text.replace("server", f"{steps}\n    server")
    assert play(text, script, {"s1": greets_after(truth[-2:])}) == truth


def test_a_check_that_only_connects_tells_of_itself() -> None:
    def script(side: Side) -> object:
        data, _ = side.servers["s1"].arrival(0).wait()
        return re.sub(rb"\d+ \d+\r", b"N N\r", data)

    assert play(ONE % ("", "check inter 5s send-proxy"), script) == (
        b"PROXY TCP4 127.0.0.1 127.0.0.1 N N\r\n"
    )
