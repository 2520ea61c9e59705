"""What scenarios with TLS have in common: certificates, a file with TLS at the front, a server."""

from __future__ import annotations

import ssl
from pathlib import Path

from support.certificates import Certificates
from support.scripted_servers import Arrival, Behaviour, greets


def with_all(directory: Path) -> Certificates:
    """Certificates, and `all.pem`: the server's with its key, as `crt` wants it."""
    found = Certificates(directory)
    (directory / "all.pem").write_text(Path(found.cert).read_text() + Path(found.key).read_text())
    return found


def front(certificates: Certificates, more: str = "", server: str = "") -> str:
    return f"""
listen front
    bind 127.0.0.1:{{front}} ssl crt {certificates.directory}/all.pem {more}
    server s1 127.0.0.1:{{s1}} {server}
"""


def behind_tls(certificates: Certificates) -> Behaviour:
    """A server that takes the handshake and greets."""

    def behaviour(arrival: Arrival) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.cert, certificates.key)
        arrival.sock = context.wrap_socket(arrival.sock, server_side=True)
        greets(arrival)

    return behaviour
