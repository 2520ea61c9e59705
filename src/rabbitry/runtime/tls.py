"""TLS for a node's client listener: certificates from files, read anew when they change.

Owns the settings, the contexts, and what a client's certificate says of its owner. The protocol
itself is Python's `ssl` (OpenSSL) under asyncio; versions 1.2 and 1.3.

Files are looked at for each new connection. New ones that cannot be used (half of a pair that is
just being replaced) leave those before in use, and the log says so, once for each state of the
files. Connections that are open keep what they began with.

RabbitMQ: ssl_options, rabbit_ssl.erl, rabbit_cert_info.erl.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rabbitry.machine import LinkTls

if TYPE_CHECKING:
    from rabbitry.runtime.node_options import LoginFrom

HANDSHAKE_S: Final = 5.0
"""How long a client has for its handshake (RabbitMQ: ssl_handshake_timeout)."""

_Signature = tuple[tuple[int, int, int], ...]


class TlsFailed(ValueError):
    """Certificates cannot be used; the text says which file, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Paths of PEM files, and what is asked of clients.

    `verify`: a client's certificate, if it shows one, must be good by `ca`;
    `fail_if_no_peer_cert`: it must show one. `login_from` is RabbitMQ's ssl_cert_login_from;
    None: a certificate names nobody, and EXTERNAL is not offered, as RabbitMQ has it without its
    plugin. (py-amqp takes EXTERNAL wherever it is offered.) `ciphers` are OpenSSL's names up to TLS
    1.2; versions are written "TLSv1.2", empty: from 1.2 to the newest; `alpn` is what is offered.
    `after_proxy_header`: a client says a PROXY header before its handshake.
    """

    cert: str
    key: str
    ca: str = ""
    verify: bool = False
    fail_if_no_peer_cert: bool = False
    login_from: LoginFrom | None = None
    ciphers: str = ""
    minimum_version: str = ""
    maximum_version: str = ""
    alpn: tuple[str, ...] = ()
    after_proxy_header: bool = False


class Tls:
    """The TLS of one listener. `report` takes a level, what happened, and its details.

    Raises `TlsFailed` where it cannot begin with what the files hold.
    """

    def __init__(
        self, settings: TlsSettings, report: Callable[[str, str, dict[str, object]], None]
    ) -> None:
        self.settings = settings
        self._report = report
        self._signature = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return what a new connection begins with."""
        signature = self._look()
        if signature != self._signature:
            self._signature = signature
            try:
                self._context = self._load()
            except TlsFailed as failure:
                what = "new certificates cannot be used, those before stay"
                self._report("error", what, {"reason": str(failure)})
            else:
                self._report("info", "new certificates in use", {"cert": self.settings.cert})
        return self._context

    def peer_name(self, certificate: dict[str, Any] | None) -> str | None:
        """Return whom a verified certificate (of `getpeercert`) names; None: that is not asked.

        Empty where the client showed none, or one without such a name.
        """
        login_from = self.settings.login_from
        if login_from is None or not self.settings.verify:
            return None
        return name_of(certificate or {}, login_from)

    def _look(self) -> _Signature:
        files = (self.settings.cert, self.settings.key, self.settings.ca)
        return tuple(_state_of(file) for file in files if file)

    def _load(self) -> ssl.SSLContext:
        settings = self.settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _version(settings.minimum_version) or ssl.TLSVersion.TLSv1_2
        context.maximum_version = (
            _version(settings.maximum_version) or ssl.TLSVersion.MAXIMUM_SUPPORTED
        )
        context.options |= ssl.OP_NO_RENEGOTIATION  # work that clients could ask for at will
        if settings.alpn:
            context.set_alpn_protocols(list(settings.alpn))
        if settings.ciphers:
            try:
                context.set_ciphers(settings.ciphers)
            except ssl.SSLError as error:
                raise TlsFailed(f"cannot use ciphers {settings.ciphers}: {_why(error)}") from None
        try:
            # Without a password of ours OpenSSL would ask for one at the terminal.
            context.load_cert_chain(settings.cert, settings.key, password="")
        except (OSError, ValueError) as error:
            raise TlsFailed(
                f"cannot use certificate {settings.cert} with key {settings.key}: {_why(error)}"
            ) from None
        if settings.verify:
            try:
                context.load_verify_locations(settings.ca)
            except OSError as error:
                raise TlsFailed(f"cannot use CA file {settings.ca}: {_why(error)}") from None
            required = settings.fail_if_no_peer_cert
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context


def client_context(tls: LinkTls) -> ssl.SSLContext:
    """Return what a link that we open with TLS begins with. Raises `TlsFailed`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca_file:
        try:
            context.load_verify_locations(tls.ca_file)
        except OSError as error:
            raise TlsFailed(f"cannot use CA file {tls.ca_file}: {_why(error)}") from None
    else:
        context.load_default_certs()
    context.check_hostname = tls.verify and bool(tls.verify_host or tls.sni)
    if tls.crt:
        try:
            context.load_cert_chain(tls.crt, password="")
        except (OSError, ValueError) as error:
            raise TlsFailed(f"cannot use certificate {tls.crt}: {_why(error)}") from None
    return context


def _version(name: str) -> ssl.TLSVersion | None:
    """Return the version that is written "TLSv1.2"; None for the empty name."""
    return ssl.TLSVersion[name.replace(".", "_")] if name else None


def _state_of(file: str) -> tuple[int, int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _why(error: Exception) -> str:
    """Say why OpenSSL or the system refused: OpenSSL's word for it, or the system's."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "not in PEM format").lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error)


# --- whom a certificate names ---------------------------------------------------------------------

# OpenSSL's names of attributes, and those of RabbitMQ (rabbit_cert_info.erl format_rdn).
_SHORT: Final = {
    "surname": "SN",
    "givenName": "GIVENNAME",
    "initials": "INITIALS",
    "generationQualifier": "GENERATIONQUALIFIER",
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "title": "TITLE",
    "countryName": "C",
    "serialNumber": "SERIALNUMBER",
    "pseudonym": "PSEUDONYM",
    "domainComponent": "DC",
    "emailAddress": "EMAILADDRESS",
    "streetAddress": "STREET",
    "userId": "UID",
}


def name_of(certificate: dict[str, Any], login_from: LoginFrom) -> str:
    """Return the user that a certificate (as `getpeercert` gives it) stands for; empty for none.

    RabbitMQ: rabbit_ssl.erl peer_cert_auth_name.
    """
    subject = certificate.get("subject", ())
    if login_from == "distinguished_name":
        return ",".join(
            "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part)
            for part in reversed(subject)
        )
    if login_from == "common_name":
        return ",".join(value for part in subject for kind, value in part if kind == "commonName")
    names = certificate.get("subjectAltName", ())
    return next((value for kind, value in names if kind == "DNS"), "")


def _escaped(value: str) -> str:
    """Escape a value as RabbitMQ does, nearly by RFC 4514 (escape_rdn_value)."""
    shown = []
    octets = value.encode("utf-8", "surrogateescape")
    for at, octet in enumerate(octets):
        character = chr(octet)
        if (
            (at == 0 and character in " #")
            or (at == len(octets) - 1 and character == " ")
            or character in '"+,;<>\\'
        ):
            shown.append("\\" + character)
        elif octet < 32 or octet >= 126:
            shown.append(f"\\{octet:02X}")
        else:
            shown.append(character)
    return "".join(shown)
