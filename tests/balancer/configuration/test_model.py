"""Tests of the configuration's values and of the error that carries all mistakes."""

from __future__ import annotations

import dataclasses

import pytest

from rabbitry.balancer.configuration.model import (
    MAXCONN_DEFAULT,
    AmqpCheck,
    BackendSection,
    Configuration,
    ConfigurationError,
    FrontendSection,
    ServerLine,
    StatisticsPage,
)
from rabbitry.machine import Address


def test_defaults_are_haproxys() -> None:
    server = ServerLine("a", Address("127.0.0.1", 1))
    assert (server.inter_us, server.rise, server.fall, server.weight) == (2_000_000, 2, 3, 1)
    back = BackendSection("l", 2, "tcp")
    assert (back.retries, back.redispatch, back.balance.algorithm) == (3, None, "roundrobin")
    assert FrontendSection("l", 2, "tcp", ()).maxconn == MAXCONN_DEFAULT


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BackendSection("l", 2, "tcp").name = "m"  # type: ignore[misc]


def test_error_has_a_line_for_each_mistake() -> None:
    error = ConfigurationError(("f:1: a", "f:2: b"))
    assert str(error) == "f:1: a\nf:2: b"
    assert error.mistakes == ("f:1: a", "f:2: b")


def test_a_listen_is_a_front_and_a_back() -> None:
    front, back = FrontendSection("l", 2, "tcp", ()), BackendSection("l", 2, "tcp")
    alone = BackendSection("b", 3, "tcp")
    configuration = Configuration(((front, back), (None, alone)))
    assert configuration.frontends == (front,)
    assert configuration.backends == (back, alone)


def test_passwords_are_not_shown() -> None:
    shown = repr(StatisticsPage(users=(("u", "secret"),))) + repr(AmqpCheck("u", "secret"))
    assert "secret" not in shown
