"""The contract of machines and drivers: its values, and that it stands on nothing of ours."""

from __future__ import annotations

import ast
import inspect
from dataclasses import FrozenInstanceError, fields
from types import UnionType
from typing import get_args

import pytest

from rabbitry import machine
from rabbitry.machine import (
    MICROSECONDS_PER_SECOND,
    Address,
    CloseLink,
    Effect,
    Event,
    LinkClosed,
    Report,
    Started,
)


def test_addresses_are_written_as_people_write_them() -> None:
    assert str(Address("127.0.0.1", 5672)) == "127.0.0.1:5672"
    assert str(Address("::1", 5672)) == "[::1]:5672"
    assert str(Address("/run/amqp.sock", 0)) == "/run/amqp.sock"
    assert str(Address("@amqp", 0)) == "@amqp"


def test_addresses_are_values() -> None:
    address = Address("a", 2)
    assert address == Address("a", 2)
    assert len({address, Address("a", 2)}) == 1
    assert sorted([Address("b", 1), Address("a", 3), address]) == [
        address,
        Address("a", 3),
        Address("b", 1),
    ]
    with pytest.raises(FrozenInstanceError):
        address.port = 3  # type: ignore[misc]


def test_events_and_effects_carry_nothing_but_what_they_say() -> None:
    for union in (Event, Effect):
        assert isinstance(union, UnionType)
        for kind in get_args(union):
            assert hasattr(kind, "__slots__"), f"{kind.__name__} can be given anything"
            assert fields(kind) is not None


def test_no_name_is_both_an_event_and_an_effect() -> None:
    assert not set(get_args(Event)) & set(get_args(Effect))


def test_everything_a_step_takes_or_returns_is_in_the_unions() -> None:
    named = {kind.__name__ for union in (Event, Effect) for kind in get_args(union)}
    classes = {
        name
        for name, value in vars(machine).items()
        if inspect.isclass(value) and value.__module__ == machine.__name__
    }
    assert classes - named == {"Address", "Entropy", "LinkOptions", "LinkTls", "Machine", "Measure"}


def test_defaults() -> None:
    assert Started().stored == []
    assert Started().stored is not Started().stored
    assert Report("info", "x").details is not Report("info", "x").details
    assert CloseLink(1) == CloseLink(1, abort=False)
    assert LinkClosed(1, "reset") != LinkClosed(1, "")
    assert MICROSECONDS_PER_SECOND == 10**6


def test_the_contract_imports_nothing_of_ours() -> None:
    tree = ast.parse(inspect.getsource(machine))
    modules = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
    ]  # fmt: skip
    assert modules
    assert not [name for name in modules if name.startswith("rabbitry")]
