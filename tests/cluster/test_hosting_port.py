"""What the queues of a node need of it is what a node has."""

from __future__ import annotations

import inspect

from support.broker_client import CountingEntropy

from rabbitry.cluster.hosting_port import HostingPort
from rabbitry.cluster.node_settings import NodeSettings
from rabbitry.machine import Address
from rabbitry.node import Node


def test_a_node_has_all_of_it() -> None:
    node = Node(NodeSettings("a", "1", b"secret", Address("", 0)), CountingEntropy())
    asked = [name for name in vars(HostingPort) if not name.startswith("_")]
    assert "now" in asked
    for name in asked:
        _, *wanted = inspect.signature(getattr(HostingPort, name)).parameters
        assert list(inspect.signature(getattr(node, name)).parameters) == wanted, name
