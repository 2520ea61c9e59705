"""Where a check's link leads, and what is said on it first.

Owns which address, port, TLS and PROXY header a check uses (src/tcpcheck.c,
`tcpcheck_eval_connect`). A check goes where sessions go, unless its server has an `addr` or `port`
for checks; what checks take over from sessions beyond that is folded into the server's line.

Invariants: pure; a `Target` is made anew for every link, since an operator may move a server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from rabbitry.balancer.checking.results import OWN_WANTS, Connect
from rabbitry.balancer.configuration.model import ServerLine, ServerTls
from rabbitry.balancer.link_options import server_link_options
from rabbitry.balancer.proxy_protocol import header_for
from rabbitry.balancer.servers import Server
from rabbitry.machine import Address, LinkOptions

# Of a server that is spoken to in plain otherwise, and has no word on verifying.
_UNVERIFIED: Final = ServerTls(verify="none")

# A connection on nobody's behalf: version 1 tells its own addresses, version 2 that it is LOCAL
# (src/connection.c, `conn_send_proxy`, `make_proxy_line_v2`).
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    1: {"names_itself": True},
    2: {"greeting": header_for(2, None, None)},
}

# A reset is none of these: it came behind a connect.
_NOT_OF_TLS: Final = frozenset(
    {
        "Connection refused",
        "No route to host",
        "Network is unreachable",
        "Host is down",
        "Connection timed out",
        "Permission denied",
        "No such file or directory",
        "Cannot assign requested address",
        "Address already in use",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """A link to open."""

    address: Address
    options: LinkOptions | None

    @property
    def tls(self) -> bool:
        """Whether it is opened under TLS."""
        return self.options is not None and self.options.tls is not None

    def failure(self, reason: str) -> tuple[str, str]:
        """Status and text of this link's not opening for this reason."""
        if reason in OWN_WANTS:
            return "SOCKERR", reason
        if self.tls and reason not in _NOT_OF_TLS:
            return "L6RSP", "SSL handshake failure"
        return "L4CON", reason


def health_target(server: Server, step: Connect) -> Target:
    """Where a health check's link leads at this step."""
    line = server.line
    own = line.check_address or server.address
    address = step.address or own
    port = step.port or (step.address.port if step.address else 0) or own.port
    if step.by_default:
        tls, proxy = line.check_tls, line.check_send_proxy
    else:
        proxy = (2 if line.send_proxy == 2 else 1) if step.send_proxy else 0
        tls = None
        if step.tls:
            settings = line.script_tls or line.check_tls or line.tls or _UNVERIFIED
            tls = replace(settings, sni=step.sni)
    return _target(line, Address(address.host, port), tls, proxy)


def agent_target(server: Server) -> Target:
    """Where an agent check's link leads: never under TLS."""
    return _target(server.line, server.line.agent_address or server.address, None, 0)


def _target(line: ServerLine, address: Address, tls: ServerTls | None, proxy: int) -> Target:
    options = server_link_options(replace(line, tls=tls), None)
    if proxy:
        options = replace(options or LinkOptions(), **_HEADERS[proxy])
    return Target(address, options)
