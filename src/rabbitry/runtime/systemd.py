"""What systemd is told of a service of `Type=notify` (sd_notify(3)).

Owns the datagram. When there is something to tell is the service's.

Invariants: where nobody listens, or nobody can be told, nothing happens: HAProxy does not ask
either.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"


def tell_systemd(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Say this of the process, if its environment names where (`NOTIFY_SOCKET`)."""
    place = environment.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    if place[0] == "@":
        place = "\0" + place[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link,
    ):
        link.sendto(state.encode(), place)
