"""What `rabbitry up` was asked for: how many nodes, and who listens where.

Owns the names of the nodes and the arithmetic of ports. Whether ports are free is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rabbitry.machine import Address
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.node_options import DEFAULTS, NodeOptions


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What `rabbitry up` was asked for. Nodes get `port`, `port + 1`, ...; all on loopback."""

    data_dir: Path
    nodes: int = 3
    port: int = 5672
    balancer_port: int = 5670
    statistics_port: int = 8100
    host: str = "127.0.0.1"
    options: NodeOptions = DEFAULTS
    tls_port: int = 5691
    balancer_tls_port: int = 5671
    definitions: Path | None = None  # what it begins with

    @property
    def places(self) -> list[tuple[str, Address]]:
        """The name and the address of each node: rabbit, rabbit_1, rabbit_2, ..."""
        return [
            (f"rabbit_{index}" if index else "rabbit", Address(self.host, self.port + index))
            for index in range(self.nodes)
        ]

    @property
    def tls_places(self) -> list[tuple[str, Address]]:
        """The same for TLS; none where there is no certificate."""
        if not self.options.tls_cert:
            return []
        return [
            (name, Address(self.host, self.tls_port + index))
            for index, (name, _) in enumerate(self.places)
        ]

    @property
    def tls_front(self) -> Address:
        return Address(self.host, self.balancer_tls_port)

    @property
    def front(self) -> Address:
        return Address(self.host, self.balancer_port)

    @property
    def statistics(self) -> Address:
        return Address(self.host, self.statistics_port)


def check_ports(settings: UpSettings) -> None:
    """Refuse one port for two things, before anything has started. Raises `UserError`."""
    used: dict[int, str] = {}
    wanted = [(place.port, f"node {name}") for name, place in settings.places]
    wanted += [(place.port, f"node {name} (TLS)") for name, place in settings.tls_places]
    wanted.append((settings.balancer_port, "the balancer"))
    if settings.tls_places:
        wanted.append((settings.balancer_tls_port, "the balancer (TLS)"))
    wanted.append((settings.statistics_port, "the statistics page"))
    for port, what in wanted:
        if port in used:
            raise UserError(f"port {port} is wanted for {used[port]} and for {what}")
        used[port] = what
