"""Who may log in: so far one user, RabbitMQ's `guest` with password `guest`, from loopback.

Mechanisms PLAIN (RFC 4616), AMQPLAIN, and EXTERNAL: whom the client's TLS certificate names.
Nothing here keeps or reports a password that was tried.
RabbitMQ: rabbit_auth_mechanism_plain.erl, rabbit_auth_mechanism_amqplain.erl,
rabbit_auth_mechanism_ssl.erl, rabbit_access_control.erl check_user_loopback.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address

from rabbitry.connection.handshake import LoginRefused
from rabbitry.wire.errors import COMMAND_INVALID, NOT_ALLOWED, SYNTAX_ERROR, ConnectionException
from rabbitry.wire.values import FieldValue, MalformedValue, decode_table

GUEST = "guest"
GUEST_PASSWORD = b"guest"  # the published default, good from loopback only


class Authentication:
    """Judges logins. `has_virtual_host` tells whether a virtual host exists.

    `loopback_users` may log in from loopback only.
    """

    def __init__(
        self,
        has_virtual_host: Callable[[str], bool],
        loopback_users: tuple[str, ...] = (GUEST,),
    ) -> None:
        self._loopback_users = loopback_users
        self._has_virtual_host = has_virtual_host

    def authenticate(
        self, mechanism: str, response: bytes, peer_host: str, peer_name: str | None = None
    ) -> str:
        """Return the user's name; see `rabbitry.connection.handshake.Authenticator`."""
        if mechanism == "PLAIN":
            user, password = _plain(response)
        elif mechanism == "AMQPLAIN":
            user, password = _amqplain(response)
        elif mechanism == "EXTERNAL" and peer_name is not None:
            user, password = _external(peer_name), GUEST_PASSWORD  # proved by TLS
        else:
            text = f"unknown authentication mechanism '{mechanism}'"
            raise ConnectionException(COMMAND_INVALID, text, 10, 11)
        known = hmac.compare_digest(password, GUEST_PASSWORD) and user == GUEST
        if not known:
            shown = user.encode("ascii", "backslashreplace").decode()[:64]
            raise LoginRefused(f"{mechanism} login refused: user '{shown}' - invalid credentials")
        if user in self._loopback_users and not _is_loopback(peer_host):
            raise LoginRefused(f"user '{user}' can only connect via localhost")
        return user

    def open_virtual_host(self, user: str, virtual_host: str) -> None:
        """Return if the user may use the virtual host; raise 530 if there is none such."""
        if not self._has_virtual_host(virtual_host):
            raise ConnectionException(NOT_ALLOWED, f"vhost {virtual_host} not found", 10, 40)


def _plain(response: bytes) -> tuple[str, bytes]:
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise ConnectionException(SYNTAX_ERROR, "response is malformed", 10, 11)
    return parts[1].decode("utf-8", "surrogateescape"), parts[2]


def _external(peer_name: str) -> str:
    if not peer_name:
        why = "connection peer presented no TLS (x.509) certificate with a name"
        raise LoginRefused(f"EXTERNAL login refused: {why}")
    return peer_name


def _amqplain(response: bytes) -> tuple[str, bytes]:
    try:
        table, _ = decode_table(len(response).to_bytes(4, "big") + response, 0)
    except MalformedValue:
        raise ConnectionException(SYNTAX_ERROR, "response is malformed", 10, 11) from None
    login, password = _text(table.get("LOGIN")), _text(table.get("PASSWORD"))
    if login is None or password is None:
        text = "AMQPLAIN auth info is missing LOGIN or PASSWORD field"
        raise ConnectionException(SYNTAX_ERROR, text, 10, 11)
    return login.decode("utf-8", "surrogateescape"), password


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
