"""What a node is told when it starts."""

from __future__ import annotations

from rabbitry.cluster.node_settings import NodeSettings
from rabbitry.machine import Address


def test_settings_do_not_show_the_secret() -> None:
    assert "hidden" not in repr(NodeSettings("a", "1", b"hidden", Address("", 0)))
