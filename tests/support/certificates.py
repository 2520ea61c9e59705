"""Certificates for tests: an authority, a server on loopback, clients, as files."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Certificates:
    """Files in `directory`: server.pem, server.key and ca.pem; `client` makes contexts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.cert, self.key = str(directory / "server.pem"), str(directory / "server.key")
        self.ca = str(directory / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.renew()

    def renew(self) -> None:
        """Put a new certificate of the server in place of the old one."""
        issued = self.authority.issue_cert("127.0.0.1")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        Path(self.cert).write_bytes(chain)
        Path(self.key).write_bytes(issued.private_key_pem.bytes())

    def client(self, common_name: str = "", authority: trustme.CA | None = None) -> ssl.SSLContext:
        """Return a client's context, with a certificate of this name if there is one."""
        context = ssl.create_default_context(cafile=self.ca)
        if common_name:
            issued = (authority or self.authority).issue_cert(
                "client.example.org",
                common_name=common_name,
                organization_name="Warren",
                organization_unit_name="Burrow 7",
            )
            issued.configure_cert(context)
        return context
