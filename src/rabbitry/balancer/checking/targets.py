"""Where a check's link leads, and what is said on it first.

Owns which address, port, TLS and PROXY header a check uses (src/check.c, `init_srv_check`;
src/tcpcheck.c, `tcpcheck_eval_connect`). A check goes where sessions go, by the same means, unless
its server has an `addr` or `port` of its own for checks: then it is plain unless `check-ssl` and
`check-send-proxy` say otherwise.

Invariants: pure; a `Target` is made anew for every link, since an operator may move a server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from rabbitry.balancer.checking.results import Connect
from rabbitry.balancer.configuration.model import ServerLine, ServerTls
from rabbitry.balancer.link_options import server_link_options
from rabbitry.balancer.proxy_protocol import header_for
from rabbitry.balancer.servers import Server
from rabbitry.machine import Address, LinkOptions

_NOT_OF_TLS: Final = frozenset(
    {
        "Connection refused",
        "No route to host",
        "Network is unreachable",
        "Host is down",
        "Connection timed out",
        "Connection reset by peer",
        "Permission denied",
        "No such file or directory",
        "Cannot assign requested address",
        "Address already in use",
    }
)


@dataclass(frozen=True, slots=True)
class Target:
    """A link to open, and the bytes that go before all others."""

    address: Address
    options: LinkOptions | None
    header: bytes

    @property
    def tls(self) -> bool:
        """Whether it is opened under TLS."""
        return self.options is not None and self.options.tls is not None

    def failure(self, reason: str) -> str:
        """The status of this link's not opening for this reason."""
        return "L6RSP" if self.tls and reason not in _NOT_OF_TLS else "L4CON"


def health_target(server: Server, step: Connect) -> Target:
    """Where a health check's link leads at this step."""
    line = server.line
    own = line.check_address
    address = step.address or own or server.address
    port = step.port or (step.address.port if step.address else 0)
    port = port or (own or server.address).port
    if own is not None and not own.port:
        port = step.port or server.address.port
    tls = (line.check_tls or line.tls or ServerTls()) if step.tls else None
    proxy = line.check_send_proxy or 1 if step.send_proxy else 0
    if step.by_default:
        tls = tls or line.check_tls
        proxy = line.check_send_proxy
    return _target(line, Address(address.host, port), tls, proxy)


def agent_target(server: Server) -> Target:
    """Where an agent check's link leads: never under TLS."""
    line = server.line
    return _target(line, line.agent_address or line.check_address or server.address, None, 0)


def _target(line: ServerLine, address: Address, tls: ServerTls | None, proxy: int) -> Target:
    options = server_link_options(replace(line, tls=tls), None)
    # A connection on nobody's behalf has no addresses to tell.
    return Target(address, options, header_for(proxy, None, None) if proxy else b"")
