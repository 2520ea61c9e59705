"""Options of a node are settings of its machine, and survive the way through JSON."""

from __future__ import annotations

import msgspec
import pytest

from rabbitry.machine import Address
from rabbitry.node import NodeSettings
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.node_options import NodeOptions


def settings(options: NodeOptions) -> NodeSettings:
    return NodeSettings("a", "1", b"", Address("", 0), **options.settings())


def test_the_defaults_are_those_of_the_machine() -> None:
    assert settings(NodeOptions()) == NodeSettings("a", "1", b"", Address("", 0))


def test_they_reach_the_machine_through_json() -> None:
    line = msgspec.json.encode(NodeOptions(consumer_timeout_ms=7))
    assert settings(msgspec.json.decode(line, type=NodeOptions)).consumer_timeout_ms == 7


def test_what_is_out_of_bounds_is_refused() -> None:
    NodeOptions(consumer_timeout_ms=0).check()
    with pytest.raises(UserError, match="--consumer-timeout-ms"):
        NodeOptions(consumer_timeout_ms=-1).check()
