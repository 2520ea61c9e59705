"""TLS at the front and to the servers, beside HAProxy 2.6."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import play
from support.certificates import Certificates
from support.scripted_servers import Arrival, greets


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates, and `all.pem`: the server's with its key, as `crt` wants it."""
    directory = tmp_path_factory.mktemp("certificates")
    found = Certificates(directory)
    (directory / "all.pem").write_text(Path(found.cert).read_text() + Path(found.key).read_text())
    return found


def front(certificates: Certificates, more: str = "", server: str = "") -> str:
    return f"""
listen front
    bind 127.0.0.1:{{front}} ssl crt {certificates.directory}/all.pem {more}
    server s1 127.0.0.1:{{s1}} {server}
"""


def behind_tls(certificates: Certificates) -> object:
    """A server that takes the handshake and greets."""

    def behaviour(arrival: Arrival) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.cert, certificates.key)
        arrival.sock = context.wrap_socket(arrival.sock, server_side=True)
        greets(arrival)

    return behaviour


def test_tls_is_passed_through_unopened(certificates: Certificates) -> None:
    def script(side: Side) -> object:
        link = side.connect(tls=certificates.client())
        name = link.line()
        link.close()
        return name, side.sessions(1)[0].state

    text = "listen front\n    bind 127.0.0.1:{front}\n    server s1 127.0.0.1:{s1}\n"
    assert play(text, script, {"s1": behind_tls(certificates)}) == ("s1", "--")
