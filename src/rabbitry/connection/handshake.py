"""How two peers come to an open connection: protocol header, login, limits.

Owns what is offered and what is accepted; the order of the methods is `states`. The endpoint drives
it. Nothing here knows users: the server asks an `Authenticator`.

RabbitMQ: rabbit_reader.erl handshake/2, handle_method0/2, server_capabilities/1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from rabbitry.wire.errors import NOT_ALLOWED, ConnectionException
from rabbitry.wire.frames import FRAME_SIZE_MIN
from rabbitry.wire.methods import ConnectionTune, ConnectionTuneOk

CHANNEL_MAX: Final = 2047
FRAME_SIZE_MAX: Final = 131072
HEARTBEAT_S: Final = 60

# Protocol headers that open a 0-9-1 connection: 0-9-1 itself and 0-9, which RabbitMQ treats alike.
ACCEPTED_HEADERS: Final = (b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09")

SERVER_CAPABILITIES: Final[tuple[str, ...]] = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


def mechanisms_offered(peer_name: str | None) -> bytes:
    """Return a server's SASL mechanisms: EXTERNAL too, where a certificate may name the user.

    Also to a client that showed none: it hears then what was wrong. RabbitMQ:
    rabbit_auth_mechanism_ssl.erl should_offer/1.
    """
    return b"PLAIN AMQPLAIN" if peer_name is None else b"PLAIN AMQPLAIN EXTERNAL"


class LoginRefused(Exception):
    """The credentials are not good. The text is for the log, never for the peer."""


class Authenticator(Protocol):
    """What a server endpoint asks of its owner."""

    def authenticate(
        self, mechanism: str, response: bytes, peer_host: str, peer_name: str | None
    ) -> str:
        """Return the user's name. `peer_name` is that of the peer's certificate (`LinkOpened`).

        Raises `LoginRefused`, or `ConnectionException` for what is malformed or unknown.
        """
        ...

    def open_virtual_host(self, user: str, virtual_host: str) -> None:
        """Return if the user may use the virtual host; raise `ConnectionException` if not."""
        ...


@dataclass(slots=True)
class Credentials:
    """How a client endpoint logs in."""

    user: str
    password: str = field(repr=False)
    virtual_host: str = "/"

    def plain_response(self) -> bytes:
        """Return the response of SASL PLAIN (RFC 4616)."""
        return b"\0" + b"\0".join(
            each.encode("utf-8", "surrogateescape") for each in (self.user, self.password)
        )


def check_tune_ok(offered: ConnectionTune, accepted: ConnectionTuneOk) -> None:
    """Raise 530 where the client's limits are outside what was offered.

    0 means no limit, so it exceeds any limit that the server has. RabbitMQ 3.10 makes the same
    exception but loses it on the way: its client sees three seconds of silence and a reset.
    """
    _check_limit("frame_max", accepted.frame_max, FRAME_SIZE_MIN, offered.frame_max)
    _check_limit("channel_max", accepted.channel_max, 1, offered.channel_max)


def _check_limit(name: str, value: int, least: int, most: int) -> None:
    if value and value < least:
        raise ConnectionException(
            NOT_ALLOWED,
            f"negotiated {name} = {value} is lower than the minimum allowed value ({least})",
            10,
            30,
        )
    if most and (not value or value > most):
        detail = " (no limit)" if not value else ""
        raise ConnectionException(
            NOT_ALLOWED,
            f"negotiated {name} = {value}{detail} is higher than the maximum "
            f"allowed value ({most})",
            10,
            30,
        )


def choose_limits(offered: ConnectionTune, heartbeat_s: int) -> ConnectionTuneOk:
    """Return a client's answer to tune: the server's limits, and the smaller heartbeat."""
    if offered.heartbeat and heartbeat_s:
        heartbeat_s = min(offered.heartbeat, heartbeat_s)
    return ConnectionTuneOk(
        channel_max=offered.channel_max, frame_max=offered.frame_max, heartbeat=heartbeat_s
    )
