"""The configuration of `rabbitry up`: the classic one, written in HAProxy's language.

Owns that text. It is read by `reader` like anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping

from rabbitry.machine import Address
from rabbitry.wire.frames import PROTOCOL_HEADER
from rabbitry.wire.methods import ConnectionStart

# Class and method begin the payload of a broker's first frame.
_CONNECTION_START = ConnectionStart().encode()[:4]

GREETED = (
    "    option tcp-check",
    "    tcp-check connect",
    f"    tcp-check send-binary {PROTOCOL_HEADER.hex()}",
    f"    tcp-check expect binary {_CONNECTION_START.hex()} comment connection.start",
)
"""A check that a broker passes by its greeting."""

_DEFAULTS = (
    "defaults",
    "    mode tcp",
    "    option tcplog",
    "    option dontlognull",
    "    retries 3",
    "    option redispatch",
    "    maxconn 20000",
    "    timeout connect 2s",
    "    timeout client 1h",
    "    timeout server 1h",
    "    timeout check 1s",
)
# HAProxy spreads all first checks over the least interval of a second or more. This is none, so
# that nodes are known as soon as without it.
_AGENT = " agent-check agent-inter 900ms agent-addr {} agent-port {}"
_ENDS = "on-marked-down shutdown-sessions"
_PAGE = ("    mode http", "    stats enable", "    stats uri /stats", "    stats refresh 5s")

FRONT = "rabbitmq_local_cluster"
"""The section in front of the nodes."""

TLS_SUFFIX = "_tls"
"""What the names of its twin for TLS, and of the servers there, end with."""


def classic(
    front: Address,
    servers: list[tuple[str, Address]],
    statistics: Address,
    *,
    tls: tuple[Address, list[tuple[str, Address]]] | None = None,
    agents: Mapping[str, Address] | None = None,
    name: str = FRONT,
    runtime_socket: str | None = None,
    inter_ms: int = 500,
    quick_ms: int = 100,
    rise: int = 1,
    fall: int = 2,
) -> str:
    """Return the configuration of `rabbitry up`: one address in front of `servers`, a page beside.

    `tls` is a second address, in front of the servers' TLS ports; what passes it is not opened.
    `agents` are where the servers' agents are asked, by their names: what these say beside "up" is
    shown on the page. `runtime_socket` is the path at which the owner may steer the balancer.

    A text in the language of this module, fit for `parse`, and for HAProxy too. Checks are quick,
    for a laptop: every `inter_ms`, every `quick_ms` while a node is down or in doubt. A check says
    the protocol's header and waits a second for connection.start: a node that hangs accepts still,
    as the kernel does that, but it greets nobody, and nor does one that knows nothing yet of the
    cluster. After two such seconds, when the cluster has given it up too, it is DOWN, and its
    sessions end. The idle timeouts are well above the 180 s after which a peer with a heartbeat of
    60 s has given up by itself.
    """
    lines = []
    if runtime_socket is not None:
        # Quoted, since a data directory may have any name.
        quoted = runtime_socket.replace("'", "'\\''")
        lines += ["global", f"    stats socket '{quoted}' mode 600 level admin"]
    lines += [
        *_DEFAULTS,
        f"listen {name}",
        f"    bind {front}",
        "    balance roundrobin",
        *GREETED,
    ]
    checks = f"check inter {inter_ms}ms fastinter {quick_ms}ms downinter {quick_ms}ms"
    checks += f" rise {rise} fall {fall} {_ENDS}"
    for server, address in servers:
        agent = (agents or {}).get(server)
        asked = "" if agent is None else _AGENT.format(agent.host, agent.port)
        lines.append(f"    server {server} {address} {checks}{asked}")
    if tls is not None:
        tls_front, tls_servers = tls
        lines += [f"listen {name}{TLS_SUFFIX}", f"    bind {tls_front}", "    balance roundrobin"]
        # Behind each TLS port is the same node as behind its plain one.
        lines += [
            f"    server {server}{TLS_SUFFIX} {address} track {name}/{server} {_ENDS}"
            for server, address in tls_servers
        ]
    lines += ["listen private_monitoring", f"    bind {statistics}", *_PAGE]
    return "\n".join(lines) + "\n"
