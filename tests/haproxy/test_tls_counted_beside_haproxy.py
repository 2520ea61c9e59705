"""What is counted of TLS handshakes, beside HAProxy 2.6."""

from __future__ import annotations

import ssl

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import play
from support.certificates import Certificates
from support.scripted_servers import Arrival
from support.tls_sides import behind_tls, front, with_all

COUNTED = ("ssl_sess", "ssl_reused_sess", "ssl_failed_handshake")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return with_all(tmp_path_factory.mktemp("certificates"))


def test_handshakes_of_clients_are_counted(certificates: Certificates) -> None:
    """New ones, resumed ones, and those that fail: but not who says nothing for too long."""

    def script(side: Side) -> object:
        context = certificates.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for _ in range(3):
            link = side.connect()
            link.sock = tls = context.wrap_socket(
                link.sock, server_hostname="127.0.0.1", session=session
            )
            link.line()
            session = tls.session
            link.close()
        side.told(3)
        for count, said in enumerate((b"GET / HTTP/1.0\r\n\r\n", b""), start=1):
            link = side.connect()
            link.send(said)
            link.finish()
            link.ends()
            side.log.wait(lambda _, n=count: len(side.log.told_of_clients()) >= n, "the client")
        counted = side.figures(*COUNTED)
        told = side.ask("show info")
        fields = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
        side.ask("clear counters")
        names = ("CumSslConns", "CurrSslConns", "SslFrontendMaxKeyRate", "SslBackendMaxKeyRate")
        return counted, [fields[name] for name in names], side.figures(*COUNTED)

    text = front(certificates).replace("    server", "    option socket-stats\n    server")
    none = ["0", "0", "0"]
    rows = ("FRONTEND", "sock-1", "s1", "BACKEND")
    assert play(text, script) == (
        {
            "FRONTEND": ["1", "2", "2"],
            "sock-1": ["1", "2", "2"],
            "s1": none,
            "BACKEND": none,
        },
        ["5", "0", "1", "0"],
        dict.fromkeys(rows, none),
    )


def test_handshakes_with_servers_are_counted(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)

    def behaviour(arrival: Arrival) -> None:
        arrival.sock = context.wrap_socket(arrival.sock, server_side=True)
        arrival.send(b"s1\n")
        arrival.rest()

    def script(side: Side) -> object:
        for _ in range(3):
            link = side.connect()
            link.line()
            link.close()
            side.told(1)
        side.servers["s1"].behaviour = closes_at_once
        side.connect().ends()
        side.told(4)
        return side.figures(*COUNTED)

    text = """
listen front
    bind 127.0.0.1:{front}
    retries 0
    server s1 127.0.0.1:{s1} ssl verify none
"""
    none = ["0", "0", "0"]
    assert play(text, script, {"s1": behaviour}) == {
        "FRONTEND": none,
        "s1": ["1", "2", "1"],
        "BACKEND": ["1", "2", "1"],
    }


def closes_at_once(arrival: Arrival) -> None:
    arrival.close()


def test_handshakes_of_checks_are_counted(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        found = side.figures_when(
            lambda rows: int(rows["s1"][0]) + int(rows["s1"][1]) > 2 and int(rows["s2"][2]) > 2,
            *COUNTED,
        )
        return [[bool(int(each)) for each in found[name]] for name in ("s1", "s2", "BACKEND")]

    text = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} check inter 500 ssl verify none
    server s2 127.0.0.1:{s2} check inter 500 ssl verify none
"""
    assert play(text, script, {"s1": behind_tls(certificates)}) == [
        [True, False, False],
        [False, False, True],
        [True, False, True],
    ]
