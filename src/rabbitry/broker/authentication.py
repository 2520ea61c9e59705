"""Who may log in, and into which virtual host: the catalog's users, by password.

Mechanisms PLAIN (RFC 4616), AMQPLAIN, and EXTERNAL: whom the client's TLS certificate names. Each
makes a `Login`. Nothing here keeps or reports a password that was tried.

RabbitMQ: rabbit_auth_mechanism_plain.erl, rabbit_auth_mechanism_amqplain.erl,
rabbit_auth_mechanism_ssl.erl, rabbit_auth_backend_internal.erl user_login_authentication/2,
rabbit_access_control.erl check_user_loopback/2, check_vhost_access/4; rabbit_reader.erl
handle_method0 of connection.open.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple, Protocol

from rabbitry.broker.passwords import DEFAULT_ALGORITHM, is_password
from rabbitry.broker.permissions import Access, User
from rabbitry.connection.handshake import LoginRefused
from rabbitry.wire.errors import COMMAND_INVALID, NOT_ALLOWED, SYNTAX_ERROR, ConnectionException
from rabbitry.wire.values import FieldValue, MalformedValue, decode_table

GUEST: Final = "guest"
# Who is not there is judged by this: it takes as long, and no password is good.
_NOBODY: Final = User("", b"", DEFAULT_ALGORITHM)


class Login(NamedTuple):
    """Who a client says it is; `password` is None where the mechanism has proved it already."""

    user: str
    password: bytes | None


class AuthenticationPort(Protocol):
    """What logins are judged by."""

    @property
    def access(self) -> Access:
        """Users and permissions."""
        ...

    def has_virtual_host(self, name: str) -> bool:
        """Whether there is such a virtual host."""
        ...

    def connection_refusal(self, user: str, virtual_host: str) -> str:
        """Return why a limit forbids one more connection, or an empty text."""
        ...


class Authentication:
    """Judges logins. `loopback_users` may log in from loopback only."""

    def __init__(
        self, port: AuthenticationPort, loopback_users: tuple[str, ...] = (GUEST,)
    ) -> None:
        self._port = port
        self._loopback_users = loopback_users

    def authenticate(
        self, mechanism: str, response: bytes, peer_host: str, peer_name: str | None = None
    ) -> str:
        """Return the user's name; see `rabbitry.connection.handshake.Authenticator`."""
        if mechanism == "PLAIN":
            login = _plain(response)
        elif mechanism == "AMQPLAIN":
            login = _amqplain(response)
        elif mechanism == "EXTERNAL" and peer_name is not None:
            login = _external(peer_name)
        else:
            text = f"unknown authentication mechanism '{mechanism}'"
            raise ConnectionException(COMMAND_INVALID, text, 10, 11)
        found = self._port.access.users.get(login.user)
        user = found or _NOBODY
        good = login.password is None or is_password(
            login.password, user.password_hash, user.hashing_algorithm
        )
        if found is None or not good:
            shown = login.user.encode("ascii", "backslashreplace").decode()[:64]
            raise LoginRefused(f"{mechanism} login refused: user '{shown}' - invalid credentials")
        if login.user in self._loopback_users and not _is_loopback(peer_host):
            raise LoginRefused(f"user '{login.user}' can only connect via localhost")
        return login.user

    def open_virtual_host(self, user: str, virtual_host: str) -> None:
        """Return if the user may use the virtual host; raise 530 if not."""
        port = self._port
        text = ""
        if not port.has_virtual_host(virtual_host):
            text = f"vhost {virtual_host} not found"
        else:
            text = port.connection_refusal(user, virtual_host)
            if not text and not port.access.may_enter(user, virtual_host):
                text = f"access to vhost '{virtual_host}' refused for user '{user}'"
        if text:
            raise ConnectionException(NOT_ALLOWED, text, 10, 40)


def _plain(response: bytes) -> Login:
    parts = response.split(b"\0")
    if len(parts) != 3 or parts[0]:  # RabbitMQ knows no identity to act as
        raise ConnectionException(SYNTAX_ERROR, "response is malformed", 10, 11)
    return Login(parts[1].decode("utf-8", "surrogateescape"), parts[2])


def _external(peer_name: str) -> Login:
    if not peer_name:
        why = "connection peer presented no TLS (x.509) certificate with a name"
        raise LoginRefused(f"EXTERNAL login refused: {why}")
    return Login(peer_name, None)  # proved by TLS


def _amqplain(response: bytes) -> Login:
    try:
        table, _ = decode_table(len(response).to_bytes(4, "big") + response, 0)
    except MalformedValue:
        raise ConnectionException(SYNTAX_ERROR, "response is malformed", 10, 11) from None
    login, password = _text(table.get("LOGIN")), _text(table.get("PASSWORD"))
    if login is None or password is None:
        text = "AMQPLAIN auth info is missing LOGIN or PASSWORD field"
        raise ConnectionException(SYNTAX_ERROR, text, 10, 11)
    return Login(login.decode("utf-8", "surrogateescape"), password)


def _text(value: FieldValue) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) else None


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
