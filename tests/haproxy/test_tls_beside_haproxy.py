"""TLS at the front and to the servers, beside HAProxy 2.6."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import play
from support.certificates import Certificates
from support.scripted_servers import Arrival
from support.tls_sides import behind_tls, front, with_all


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return with_all(tmp_path_factory.mktemp("certificates"))


def greets_once(arrival: Arrival) -> None:
    arrival.send(b"s1\n")
    arrival.rest()


def test_tls_ends_in_order(certificates: Certificates) -> None:
    """The server's end reaches the client as close_notify."""

    def script(side: Side) -> object:
        link = side.connect(tls=certificates.client())
        link.line()
        side.servers["s1"].arrival(0).finish()
        ending = link.rest()
        link.close()
        return ending, side.told(1)

    assert play(front(certificates), script, {"s1": greets_once}) == (
        (b"", "fin"),
        ["front~ front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
    )


def test_large_transfer_over_tls(certificates: Certificates) -> None:
    payload = bytes(range(256)) * 2048

    def script(side: Side) -> object:
        link = side.connect(tls=certificates.client())
        link.line()
        for offset in range(0, len(payload), 32768):
            link.send(payload[offset : offset + 32768])
        back = link.exactly(len(payload))
        link.close()
        return back == payload, side.told(1)

    assert play(front(certificates), script) == (
        True,
        ["front~ front/s1 N/N 524291 -- 1/1/0/0/0 0/0"],
    )


def test_tls_to_the_server(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect()
        name = link.line()
        link.send(b"hello")
        echo = link.exactly(5)
        link.close()
        return name, echo, side.told(1)

    text = (
        "listen front\n    bind 127.0.0.1:{front}\n    server s1 127.0.0.1:{s1} ssl verify none\n"
    )
    assert play(text, script, {"s1": behind_tls(certificates)}) == (
        "s1",
        b"hello",
        ["front front/s1 N/N 8 -- 1/1/0/0/0 0/0"],
    )


def test_a_server_with_tls_is_told_before_the_handshake(certificates: Certificates) -> None:
    """The PROXY header, of sessions and of checks."""
    told: list[bytes] = []

    def behaviour(arrival: Arrival) -> None:
        header = b""
        while not header.endswith(b"\n"):  # not a byte of the handshake behind it
            header += arrival.sock.recv(1)
        told.append(header)
        behind_tls(certificates)(arrival)

    def script(side: Side) -> object:
        side.figures_when(lambda rows: rows["s1"][0] == "L6OK", "check_status")
        link = side.connect()
        name = link.line()
        link.send(b"hello")
        echo = link.exactly(5)
        link.close()
        return name, echo, side.told(1)

    text = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} ssl verify none send-proxy check inter 1s
"""
    assert play(text, script, {"s1": behaviour}) == (
        "s1",
        b"hello",
        ["front front/s1 N/N 8 -- 1/1/0/0/0 0/0"],
    )
    assert all(line.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ") for line in told)


def test_tls_to_a_server_that_is_verified(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect()
        name = link.line()
        link.close()
        return name, side.told(1), side.figures("econ")

    text = f"""
listen front
    bind 127.0.0.1:{{front}}
    server s1 127.0.0.1:{{s1}} ssl verify required ca-file {certificates.ca}
"""
    assert play(text, script, {"s1": behind_tls(certificates)}) == (
        "s1",
        ["front front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
        {"FRONTEND": [""], "s1": ["0"], "BACKEND": ["0"]},
    )


def test_tls_to_a_server_that_is_a_stranger(certificates: Certificates, tmp_path: Path) -> None:
    others = Certificates(tmp_path)

    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1), side.figures("econ", "wretr")

    text = f"""
listen front
    bind 127.0.0.1:{{front}}
    timeout connect 300
    retries 1
    server s1 127.0.0.1:{{s1}} ssl verify required ca-file {others.ca}
"""
    assert play(text, script, {"s1": behind_tls(certificates)}) == (
        (b"", "fin"),
        ["front front/s1 N/-1 0 SC 1/1/0/0/1 0/0"],
        {"FRONTEND": ["", ""], "s1": ["1", "1"], "BACKEND": ["1", "1"]},
    )


def test_tls_to_a_server_that_speaks_none(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1), side.figures("econ")

    text = """
listen front
    bind 127.0.0.1:{front}
    retries 0
    server s1 127.0.0.1:{s1} ssl verify none
"""
    assert play(text, script) == (
        (b"", "fin"),
        ["front front/s1 N/-1 0 SC 1/1/0/0/0 0/0"],
        {"FRONTEND": [""], "s1": ["1"], "BACKEND": ["1"]},
    )


def test_tls_on_both_sides(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect(tls=certificates.client())
        name = link.line()
        link.close()
        return name, side.told(1)

    text = front(certificates, server="ssl verify none")
    assert play(text, script, {"s1": behind_tls(certificates)}) == (
        "s1",
        ["front~ front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
    )


def test_tls_is_passed_through_unopened(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect(tls=certificates.client())
        name = link.line()
        link.close()
        return name, side.sessions(1)[0].state

    text = "listen front\n    bind 127.0.0.1:{front}\n    server s1 127.0.0.1:{s1}\n"
    assert play(text, script, {"s1": behind_tls(certificates)}) == ("s1", "--")


def test_checks_of_a_tls_server_shake_hands(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        return side.figures_when(
            lambda rows: all(
                rows[name][0] not in ("", "INI") and rows[name][0][0] != "*"
                for name in ("s1", "s2")
            ),
            "check_status",
            "status",
            "check_desc",
        )

    text = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} check inter 1s fall 1 ssl verify none
    server s2 127.0.0.1:{s2} check inter 1s fall 1 ssl verify none
"""
    assert play(text, script, {"s1": behind_tls(certificates)}) == {
        "FRONTEND": ["", "OPEN", ""],
        "s1": ["L6OK", "UP", "Layer6 check passed"],
        "s2": ["L6RSP", "DOWN", "Layer6 invalid response"],
        "BACKEND": ["", "UP", ""],
    }


def test_protocol_versions_may_be_limited(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        old = certificates.client()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            side.connect(tls=old)
            refused = False
        except ssl.SSLError:
            refused = True
        new = side.connect(tls=certificates.client())
        return refused, new.line(), new.sock.version()

    assert play(front(certificates, "ssl-min-ver TLSv1.3"), script) == (True, "s1", "TLSv1.3")


def test_alpn_is_agreed_on(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        context = certificates.client()
        context.set_alpn_protocols(["amqp", "other"])
        link = side.connect(tls=context)
        return link.line(), link.sock.selected_alpn_protocol()

    assert play(front(certificates, "alpn amqp"), script) == ("s1", "amqp")


def test_tls_at_the_front(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect(tls=certificates.client())
        name = link.line()
        link.send(b"hello")
        echo = link.exactly(5)
        link.close()
        return name, echo, side.told(1), side.figures("bin", "bout", "stot", "ssl_sess")

    assert play(front(certificates), script) == (
        "s1",
        b"hello",
        ["front~ front/s1 N/N 8 -- 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["5", "8", "1", "1"],
            "s1": ["5", "8", "1", "0"],
            "BACKEND": ["5", "8", "1", "0"],
        },
    )


def test_tls_with_accept_proxy(certificates: Certificates) -> None:
    """The header comes before the handshake."""

    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n")
        link.sock = certificates.client().wrap_socket(link.sock, server_hostname="127.0.0.1")
        name = link.line()
        link.close()
        return name, side.told(1), side.sessions(1)[0].client

    assert play(front(certificates, "accept-proxy"), script) == (
        "s1",
        ["front~ front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
        "192.0.2.7:4321",
    )


def test_client_that_speaks_no_tls(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"AMQP\0\0\x09\x01" * 4)
        link.ends()
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return side.log.told_of_clients(), len(side.servers["s1"].arrivals)

    assert play(front(certificates), script) == (
        ["127.0.0.1:N [N] front/1: SSL handshake failure"],
        0,
    )


def test_client_that_goes_in_the_handshake(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.finish()
        link.ends()
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return side.log.told_of_clients()

    assert play(front(certificates), script) == [
        "127.0.0.1:N [N] front/1: Connection closed during SSL handshake"
    ]


@pytest.mark.parametrize(
    ("share", "ending", "told"),
    [
        (0.0, "finish", "Connection closed during SSL handshake"),
        (0.5, "finish", "Connection closed during SSL handshake"),
        (1.0, "finish", "SSL handshake failure"),
        (1.0, "reset", "SSL handshake failure"),
    ],
)
def test_client_that_goes_behind_its_hello(
    certificates: Certificates, share: float, ending: str, told: str
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificates.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()

    def script(side: Side) -> object:
        link = side.connect()
        link.send(hello[: int(len(hello) * share)])
        if share == 1.0:
            link.exactly(5)  # of the server's answer
        if ending == "reset":
            link.reset()
        else:
            link.finish()
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return side.log.told_of_clients()

    assert play(front(certificates), script) == [f"127.0.0.1:N [N] front/1: {told}"]


def test_client_must_have_a_certificate(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        known = side.connect(tls=certificates.client("rabbit"))
        name = known.line()
        known.close()
        told = side.told(1)
        stranger = side.connect(tls=certificates.client())
        ending = stranger.ends()
        side.log.wait(lambda _: len(side.log.told_of_clients()) > 1, "the client")
        return name, ending[0], side.log.told_of_clients()[1], told[0]

    text = front(certificates, f"ca-file {certificates.ca} verify required")
    assert play(text, script) == (
        "s1",
        b"",
        "127.0.0.1:N [N] front/1: SSL handshake failure",
        "front~ front/s1 N/N 3 -- 1/1/0/0/0 0/0",
    )


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (
            b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n",
            "192.0.2.7:N [N] front/1: Connection closed during SSL handshake",
        ),
        (
            b"PROXY TCP4 192.0.2.7 ",
            "127.0.0.1:N [N] front/1: Truncated PROXY protocol header received",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01" * 6,
            "127.0.0.1:N [N] front/1: Received something which does not look like a PROXY protocol"
            " header",
        ),
    ],
)
def test_tls_with_accept_proxy_that_comes_to_nothing(
    certificates: Certificates, begin: bytes, told: str
) -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.send(begin)
        link.finish()
        ending = link.ends()[0]
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return ending, side.log.told_of_clients()

    assert play(front(certificates, "accept-proxy"), script) == (b"", [told])


def test_several_threads_have_headers_and_failures(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        names = []
        for count in range(1, 7):
            link = side.connect()
            link.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 5672\r\n")
            if count % 2:
                link.send(b"GET / HTTP/1.0\r\n\r\n")
                link.ends()
            else:
                link.sock = certificates.client().wrap_socket(
                    link.sock, server_hostname="127.0.0.1"
                )
                names.append(link.line())
                link.close()
            side.log.wait(lambda _, n=count: len(side.log.told_of_clients()) >= n, "the client")
        return names, side.log.told_of_clients()[::2]

    text = "global\n    nbthread 2\n" + front(certificates, "accept-proxy")
    failed = "192.0.2.7:N [N] front/1: SSL handshake failure"
    assert play(text, script) == (["s1"] * 3, [failed] * 3)
