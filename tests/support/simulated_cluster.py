"""The real machines, as the simulation wants them: three nodes and a coordinator."""

from __future__ import annotations

from rabbitry.cluster.coordinator import Coordinator, CoordinatorSettings
from rabbitry.cluster.node_settings import QUEUE_MEMORY_BYTES_MAX
from rabbitry.machine import Address, Entropy, Machine
from rabbitry.node import Node, NodeSettings
from rabbitry.simulation.cluster import CLUSTER_PORT, ClusterFactories
from rabbitry.simulation.world import Factory

NAMES = ("rabbit", "rabbit_1", "rabbit_2")
SECRET = b"s" * 32
COORDINATOR = Address("coordinator", CLUSTER_PORT)


def _node(name: str, queue_memory_bytes_max: int) -> Factory:
    def make(incarnation: int, entropy: Entropy) -> Machine:
        settings = NodeSettings(
            name,
            str(incarnation),
            SECRET,
            COORDINATOR,
            loopback_users=(),
            queue_memory_bytes_max=queue_memory_bytes_max,
        )
        return Node(settings, entropy)

    return make


def _coordinator(_incarnation: int, entropy: Entropy) -> Machine:
    return Coordinator(CoordinatorSettings(SECRET, NAMES), entropy)


def factories(queue_memory_bytes_max: int = QUEUE_MEMORY_BYTES_MAX) -> ClusterFactories:
    """Return how the machines of a cluster of three are made."""
    return ClusterFactories(
        {name: _node(name, queue_memory_bytes_max) for name in NAMES}, _coordinator
    )
