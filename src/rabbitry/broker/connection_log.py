"""What the log says of one client's connection: opened, refused, at fault, closed.

Levels are RabbitMQ's (rabbit_reader.erl): info for what is in order, warning for a client that went
without a word, error for a login refused and for a client's faults. A link over which nothing came,
which is how load balancers look whether a port is open, is worth `debug` only; so is one that heard
our greeting and went, which is how they look whether we answer (RabbitMQ warns of those).

Invariant: nothing of a password or a message is told. Frames that could not be understood are shown
to the client that sent them, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rabbitry.connection.endpoint import Endpoint
from rabbitry.wire.errors import (
    FRAME_ERROR,
    REPLY_NAMES,
    SYNTAX_ERROR,
    UNEXPECTED_FRAME,
    AmqpException,
)

Tell = Callable[[str, str, dict[str, object]], None]
"""Takes a level, what happened and its details, as `rabbitry.machine.Report` has them."""

# Their texts show the first bytes of what the client sent.
_SHOW_BYTES: Final = (FRAME_ERROR, SYNTAX_ERROR, UNEXPECTED_FRAME)


class ConnectionLog:
    """See the module. `peer` is where the client comes from."""

    __slots__ = ("_endpoint", "_forced", "_opened", "_peer", "_tell", "_told")

    def __init__(self, endpoint: Endpoint, peer: str, tell: Tell) -> None:
        self._endpoint = endpoint
        self._peer = peer
        self._tell = tell
        self._opened = False
        self._told = False  # what it ended of
        self._forced = ""  # why we closed it, though the client did nothing wrong

    def look(self) -> None:
        """Tell what has become of the endpoint since the last look."""
        endpoint = self._endpoint
        if endpoint.state == "open":
            if not self._opened:
                self._opened = True
                self._report("info", "connection opened")
        elif not self._told and (endpoint.refusal or endpoint.fault is not None):
            self._told = True
            if endpoint.refusal:
                self._report("error", "login refused", reason=endpoint.refusal)
            elif endpoint.fault is not None:
                self._report("error", "connection error", **_details(endpoint.fault))

    def channel_fault(self, channel: int, fault: AmqpException) -> None:
        """A channel is closed for a fault of the client."""
        self._report("error", "channel error", channel=channel, **_details(fault))

    def connection_fault(self, channel: int, fault: AmqpException) -> None:
        """The connection is closed for what came on a channel."""
        self._told = True
        self._report("error", "connection error", channel=channel, **_details(fault))

    def forced(self, reply_code: int, reply_text: str) -> None:
        """The connection is closed for a reason of ours, if it is not closing already."""
        if self._endpoint.state == "open":
            self._forced = f"{reply_code} {reply_text}"

    def closed(self) -> None:
        """The link is gone."""
        endpoint = self._endpoint
        if endpoint.state == "header" and not endpoint.finished:
            self._tell("debug", "connection closed", {"peer": self._peer, "reason": "no data"})
        elif endpoint.state == "starting":
            self._tell("debug", "connection closed", {"peer": self._peer, "reason": "no login"})
        elif endpoint.timed_out or (endpoint.finished and not (self._opened or self._told)):
            self._report("error", "connection closed", reason=endpoint.end_reason)
        elif endpoint.finished or endpoint.state == "closing":
            why_ours = {"reason": self._forced} if self._forced else {}
            self._report("info", "connection closed", **why_ours)
        else:
            why = "client unexpectedly closed TCP connection"
            self._report("warning", "connection closed", reason=why)

    def _report(self, level: str, what: str, **details: object) -> None:
        endpoint = self._endpoint
        known: dict[str, object] = {"peer": self._peer}
        if endpoint.user:
            known["user"] = endpoint.user
        if endpoint.virtual_host:
            known["virtual_host"] = endpoint.virtual_host
        self._tell(level, what, {**known, **details})


def _details(fault: AmqpException) -> dict[str, object]:
    if fault.reply_code in _SHOW_BYTES:
        return {"reason": f"{fault.reply_code} {REPLY_NAMES[fault.reply_code]}"}
    return {"reason": str(fault)}
