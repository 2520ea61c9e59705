"""What a balancer's first process and its workers say to each other.

Owns the shapes and their encoding: MessagePack arrays with a number for the kind, in batches, each
behind its length. Both ends are of one program that was started together, so there is no version.

`Wanted` goes down to a worker and is carried out in order; `Happened` comes up, in order too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rabbitry.machine import Address, LinkOptions, Measure
from rabbitry.runtime.listeners import ListenOptions


class Message(msgspec.Struct, array_like=True):
    """Any of them."""


# --- down: what a worker shall do -----------------------------------------------------------------


class Listen(Message, tag=1):
    """Accept from the listening socket that comes with this, or only after `Resume`.

    `tls` has the `TlsSettings`.
    """

    listener: str
    tls: dict[str, Any] | None
    options: ListenOptions
    accepting: bool


class StopListening(Message, tag=2):
    """Close the socket of this listener."""

    listener: str


class Pause(Message, tag=3):
    """Accept nothing of this listener until `Resume`."""

    listener: str


class Resume(Message, tag=4):
    """Accept again."""

    listener: str


class Open(Message, tag=5):
    """Open a link."""

    link: int
    address: Address
    options: LinkOptions | None


class Send(Message, tag=6):
    """Send bytes."""

    link: int
    data: bytes


class Finish(Message, tag=7):
    """Send a FIN after what waits."""

    link: int


class Close(Message, tag=8):
    """Close a link."""

    link: int
    abort: bool


class PauseLink(Message, tag=9):
    """Read nothing more of a link that is not joined."""

    link: int


class ResumeLink(Message, tag=10):
    """Read again."""

    link: int


class Join(Message, tag=11):
    """Join two links. So many bytes of each has the machine seen; the rest is the other's."""

    first: int
    second: int
    first_seen: int
    second_seen: int


class MeasureThem(Message, tag=12):
    """Tell what these joined links, or all, have done; `Measured` has the number."""

    links: list[int]
    number: int


class End(Message, tag=13):
    """Free the ports and close all links."""

    abort: bool


class Ping(Message, tag=14):
    """Say `Alive`."""


class Become(Message, tag=15):
    """Become this user and group (None: whoever you are), for good; say `Became`."""

    uid: int | None
    gid: int | None
    name: str


class Renew(Message, tag=16):
    """Begin new links with what the files of certificates hold now; say `Renewed`."""


Wanted = (
    Listen
    | StopListening
    | Pause
    | Resume
    | Open
    | Send
    | Finish
    | Close
    | PauseLink
    | ResumeLink
    | Join
    | MeasureThem
    | End
    | Ping
    | Become
    | Renew
)


# --- up: what has happened at a worker ------------------------------------------------------------


class Opened(Message, tag=1):
    """A link is usable."""

    link: int
    listener: str
    peer: Address
    peer_name: str | None
    local: Address | None
    resumed: bool | None


class Received(Message, tag=2):
    """Bytes came over a link that was not joined then."""

    link: int
    data: bytes


class Finished(Message, tag=3):
    """The peer of a link has finished sending."""

    link: int


class Closed(Message, tag=4):
    """A link is gone."""

    link: int
    reason: str
    in_handshake: bool


class WritingPaces(Message, tag=5):
    """A link that is not joined holds much, or little again."""

    link: int
    paused: bool


class Measured(Message, tag=6):
    """What joined links have done: an answer, or (0) right before an end of one."""

    measures: list[Measure]
    number: int


class Told(Message, tag=7):
    """Something for people."""

    level: str
    what: str
    details: dict[str, str | int | float | None]


class Alive(Message, tag=8):
    """The answer to `Ping`."""


class Became(Message, tag=9):
    """It has become whom it was to; or `failure` says why it cannot, and it ends."""

    failure: str


class Renewed(Message, tag=10):
    """The answer to `Renew`, and all before it is carried out."""


Happened = (
    Opened
    | Received
    | Finished
    | Closed
    | WritingPaces
    | Measured
    | Told
    | Alive
    | Became
    | Renewed
)

_encoder = msgspec.msgpack.Encoder()
wanted_decoder: msgspec.msgpack.Decoder[list[Wanted]] = msgspec.msgpack.Decoder(list[Wanted])
happened_decoder: msgspec.msgpack.Decoder[list[Happened]] = msgspec.msgpack.Decoder(list[Happened])


def encode(batch: list[Any]) -> bytes:
    """Return a batch of messages behind its length."""
    body = _encoder.encode(batch)
    return len(body).to_bytes(4, "big") + body
