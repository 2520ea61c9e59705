"""Tests of the configuration's values and of the error that carries all mistakes."""

from __future__ import annotations

import dataclasses

import pytest

from rabbitry.balancer.configuration_model import ConfigurationError, Listen, ServerLine
from rabbitry.machine import Address


def test_defaults_are_haproxys() -> None:
    server = ServerLine("a", Address("127.0.0.1", 1))
    assert (server.inter_us, server.rise, server.fall, server.weight) == (2_000_000, 2, 3, 1)
    listen = Listen("l", "tcp", ())
    assert (listen.retries, listen.maxconn, listen.redispatch) == (3, 2000, None)


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Listen("l", "tcp", ()).name = "m"  # type: ignore[misc]


def test_error_has_a_line_for_each_mistake() -> None:
    error = ConfigurationError(("f:1: a", "f:2: b"))
    assert str(error) == "f:1: a\nf:2: b"
    assert error.mistakes == ("f:1: a", "f:2: b")
