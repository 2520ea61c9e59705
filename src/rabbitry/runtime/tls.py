"""TLS of links: certificates from files, those of listeners read anew when they change.

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
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rabbitry.machine import LinkTls
from rabbitry.runtime.server_names import NamedCertificate, Names, names_and_kind

if TYPE_CHECKING:
    from rabbitry.runtime.node_options import LoginFrom

HANDSHAKE_S: Final = 5.0
"""How long a client has for its handshake (RabbitMQ: ssl_handshake_timeout)."""

_Signature = tuple[tuple[int, int, int], ...]


LOOK_PAUSE_S: Final = 1.0
"""How often the files are looked at where there are many."""


class TlsFailed(ValueError):
    """Certificates cannot be used; the text says which file, and why. `word` is what named it on
    a `bind` or `server` line.
    """

    def __init__(self, text: str, word: str = "crt") -> None:
        super().__init__(text)
        self.word = word

    @property
    def is_forbidden(self) -> bool:
        """Whether the system forbids to read a file."""
        error: BaseException | None = self
        while isinstance(error, TlsFailed):
            error = error.__context__
        return isinstance(error, PermissionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Paths of PEM files, and what is asked of clients.

    `verify`: a client's certificate, if it shows one, must be good by `ca`;
    `fail_if_no_peer_cert`: it must show one. `login_from` is RabbitMQ's ssl_cert_login_from;
    None: a certificate names nobody, and EXTERNAL is not offered, as RabbitMQ has it without its
    plugin. (py-amqp takes EXTERNAL wherever it is offered.) `ciphers` are OpenSSL's names up to TLS
    1.2; versions are written "TLSv1.2", empty: from 1.2 to the newest; `alpn` is what is offered.
    `after_proxy_header`: a client says a PROXY header before its handshake. `named` are the
    certificates that clients choose among by the server name they ask for, the one above among
    them; `strict_sni`: who asks for none of them gets none. `ca_verify` is trusted beside `ca`,
    what `crl` has is not. Without `tickets` a session is resumed by its number.
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
    named: tuple[NamedCertificate, ...] = ()
    strict_sni: bool = False
    ca_verify: str = ""
    crl: str = ""
    tickets: bool = True


def settings_of(told: dict[str, Any]) -> TlsSettings:
    """Return settings that were made a dictionary (`asdict`) and were told to another process."""
    named = tuple(
        NamedCertificate(cert=each["cert"], key=each["key"], filters=tuple(each["filters"]))
        for each in told["named"]
    )
    return TlsSettings(**dict(told, alpn=tuple(told["alpn"]), named=named))


class Tls:
    """The TLS of one listener. `report` takes a level, what happened, and its details.

    Raises `TlsFailed` where it cannot begin with what the files hold.
    """

    def __init__(
        self, settings: TlsSettings, report: Callable[[str, str, dict[str, object]], None]
    ) -> None:
        self.settings = settings
        self._report = report
        self._look_at = 0.0
        self._signature = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return what a new connection begins with."""
        if self.settings.named:
            now = time.monotonic()
            if now < self._look_at:
                return self._context
            self._look_at = now + LOOK_PAUSE_S
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

    def renew(self) -> None:
        """Look at the files now, whenever that was done last."""
        self._look_at = 0.0
        self.context()

    def peer_name(self, certificate: dict[str, Any] | None) -> str | None:
        """Return whom a verified certificate (of `getpeercert`) names; None: that is not asked.

        Empty where the client showed none, or one without such a name.
        """
        login_from = self.settings.login_from
        if login_from is None or not self.settings.verify:
            return None
        return name_of(certificate or {}, login_from)

    def _look(self) -> _Signature:
        settings = self.settings
        files = [settings.cert, settings.key, settings.ca, settings.ca_verify, settings.crl]
        for each in settings.named:
            files += (each.cert, each.key)
        return tuple(_state_of(file) for file in files if file)

    def _load(self) -> ssl.SSLContext:
        settings = self.settings
        context = self._load_with((settings.cert, settings.key))
        if settings.named:
            choose = _Choice(self._load_with, settings.named).context_for

            def asked(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
                chosen = choose(name) if name else None
                if chosen is not None:
                    tls.context = chosen
                elif settings.strict_sni:
                    return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
                return None

            context.sni_callback = asked
        return context

    def _load_with(self, *certificates: tuple[str, str]) -> ssl.SSLContext:
        settings = self.settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _set_up(context, settings)
        context.options |= ssl.OP_NO_RENEGOTIATION  # work that clients could ask for at will
        for cert, key in certificates:
            _load_certificate(context, cert, key)
        if settings.verify:
            _trust(context, settings.ca, "ca-file")
            if settings.ca_verify:
                _trust(context, settings.ca_verify, "ca-verify-file")
            if settings.crl:
                _trust_no_more(context, settings.crl)
            required = settings.fail_if_no_peer_cert
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        return context


class _Choice:
    """The contexts of several certificates, made by `load` of the files of one or two."""

    def __init__(
        self,
        load: Callable[..., ssl.SSLContext],
        certificates: tuple[NamedCertificate, ...],
    ) -> None:
        self._load = load
        self._certificates = certificates
        named = []
        for each in certificates:
            try:
                named.append(names_and_kind(each))
            except (OSError, ValueError) as error:
                text = f"cannot use certificate {each.cert}: {_why(error)}"
                raise TlsFailed(text) from None
        self._names = Names(named)
        self._contexts: dict[tuple[int, ...], ssl.SSLContext] = {
            (index,): load((each.cert, each.key)) for index, each in enumerate(certificates)
        }

    def context_for(self, name: str) -> ssl.SSLContext | None:
        """Return what goes on with a client that asks for `name`; None: nobody has that name."""
        indexes = self._names.find(name)
        if not indexes:
            return None
        found = self._contexts.get(indexes)
        if found is None:  # of two kinds: OpenSSL takes the one that the client can use
            both = [
                (self._certificates[each].cert, self._certificates[each].key) for each in indexes
            ]
            try:
                found = self._load(*both)
            except TlsFailed:  # they are just being replaced
                return self._contexts[indexes[:1]]
            self._contexts[indexes] = found
        return found


def client_context(tls: LinkTls) -> ssl.SSLContext:
    """Return what a link that we open with TLS begins with. Raises `TlsFailed`.

    Whom a certificate must be for is looked at by `tls_transport`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _set_up(context, tls)
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca_file:
        _trust(context, tls.ca_file, "ca-file")
    else:
        context.load_default_certs()
    if tls.verify and tls.crl_file:
        _trust_no_more(context, tls.crl_file)
    if tls.crt:
        beside = tls.crt + ".key"
        _load_certificate(context, tls.crt, beside if os.path.exists(beside) else tls.crt)
    return context


def _set_up(context: ssl.SSLContext, settings: TlsSettings | LinkTls) -> None:
    """Set what both sides have: versions, ciphers, ALPN, tickets. Raises `TlsFailed`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of versions that somebody asked for
        context.minimum_version = _VERSIONS[settings.minimum_version or "TLSv1.2"]
        context.maximum_version = _VERSIONS[settings.maximum_version]
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            text = f"cannot use ciphers {settings.ciphers}: OpenSSL knows none of these"
            raise TlsFailed(text, "ciphers") from None
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    if not settings.tickets:
        context.options |= ssl.OP_NO_TICKET


def _load_certificate(context: ssl.SSLContext, cert: str, key: str) -> None:
    try:
        # Without a password of ours OpenSSL would ask for one at the terminal.
        context.load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        where = "" if key == cert else f" with key {key}"
        raise TlsFailed(f"cannot use certificate {cert}{where}: {_why(error)}") from None


def _trust(context: ssl.SSLContext, path: str, word: str) -> None:
    """Trust the authorities of a file, of all files of a directory, or those of the system."""
    try:
        if path == "@system-ca":
            context.load_default_certs()
        elif os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                if name.endswith(_OF_AUTHORITIES) and not name.startswith("."):
                    context.load_verify_locations(os.path.join(path, name))
        else:
            context.load_verify_locations(path)
    except OSError as error:
        raise TlsFailed(f"cannot use CA file {path}: {_why(error)}", word) from None


def _trust_no_more(context: ssl.SSLContext, crl: str) -> None:
    """Let a file say which certificates have been revoked; all authorities must be in it."""
    try:
        context.load_verify_locations(crl)
    except OSError as error:
        text = f"cannot use revoked certificates of {crl}: {_why(error)}"
        raise TlsFailed(text, "crl-file") from None
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


_OF_AUTHORITIES: Final = (".pem", ".crt", ".cer", ".crl")
_VERSIONS: Final = {
    "TLSv1.0": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
    "": ssl.TLSVersion.MAXIMUM_SUPPORTED,
}


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
