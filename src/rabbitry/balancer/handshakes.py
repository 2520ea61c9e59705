"""Clients that never came: their TLS handshake failed before there was a link.

Owns what is told of them (src/session.c, `session_kill_embryonic`): HAProxy's text for what went
wrong, and whether the frontend wants such lines. Does not own the handshake, which is the edge's.

Invariants: pure; a line says what HAProxy's says, and nothing of what the client sent.
"""

from __future__ import annotations

from rabbitry.balancer.ending import line_report, name_of_client
from rabbitry.balancer.proxy_protocol import ABORTED, TIMED_OUT
from rabbitry.balancer.session import Listener
from rabbitry.machine import Report

FAILED = "SSL handshake failure"
CLOSED = "Connection closed during SSL handshake"
BROKEN = "Connection error during SSL handshake"
TOOK_TOO_LONG = "Timeout during SSL handshake"
HEADER_BROKEN, HEADER_TOOK_TOO_LONG = ABORTED, TIMED_OUT

COUNTED = (FAILED, CLOSED, BROKEN)
"""What counts as a failed handshake: HAProxy counts none of those that took too long."""

_NULL = (CLOSED, BROKEN, HEADER_BROKEN)


def refusal(listener: Listener, client: str, text: str, total_ms: int) -> Report | None:
    """Return what to tell of a client that came to `listener` and failed with `text` after
    `total_ms`; None where its frontend wants no such lines.
    """
    section = listener.frontend.section
    if not section.tcplog or (section.dontlognull and text in _NULL):
        return None
    details: dict[str, object] = {
        "client": name_of_client(listener, client),
        "frontend": section.name,
        "listener": listener.bind.name or str(listener.number),
        "text": text,
        "total_ms": total_ms,
    }
    return line_report("client refused", details, section, True)
