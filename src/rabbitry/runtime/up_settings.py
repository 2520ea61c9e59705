"""What `rabbitry up` was asked for: how many nodes, and who listens where.

Owns the names of the nodes and the arithmetic of ports. Whether ports are free, or wanted twice, is
not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rabbitry.machine import Address
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
