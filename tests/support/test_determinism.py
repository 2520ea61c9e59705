"""Tests of `support.determinism`: what it finds, and what it rightly lets pass."""

from __future__ import annotations

import ast

import pytest
from support.determinism import find_unordered, set_attributes

UNORDERED = [
    "for x in {1, 2}: pass",
    "for x in set(y): pass",
    "a = [x for x in {1, 2}]",
    "a = {x: 1 for x in frozenset(y)}",
    "def f(names: set[str]):\n    for x in names: pass",
    "def f(names: frozenset[str] | None):\n    return list(names)",
    "names = {1}\nother = names | {2}\nfor x in other: pass",
    "for x in a.keys() - b.keys(): pass",
    "a = ','.join({'x', 'y'})",
    "a = [*{1, 2}]",
    "a = {1}\nb = a.pop()",
    "a = next(iter({1}))",
    "class A:\n    names: set[str]\n    def f(self):\n        for x in self.names: pass",
    "class A:\n    def __init__(self):\n        self.names: set[str] = set()\n"
    "    def f(self):\n        return tuple(self.names)",
    "a = sorted(x, key=lambda y: id(y))",
    "a = hash('x')",
]

ORDERED = [
    "for x in sorted({1, 2}): pass",
    "a = sorted(x for x in {1, 2})",
    "a = {x for x in {1, 2}}",
    "a = any(x for x in {1, 2})",
    "a = len({1, 2})",
    "for x in {1: 2}: pass",
    "for x in a.keys(): pass",
    "def f(names: list[str]):\n    return names.pop()",
    "names = {1}\ndef f(names: list[int]):\n    for x in names: pass",
    "a = 1 in {1, 2}",
    "a = hashlib.sha256(b'')",
]


@pytest.mark.parametrize("text", UNORDERED)
def test_an_order_that_nobody_chose_is_found(text: str) -> None:
    tree = ast.parse(text)
    assert find_unordered(tree, set_attributes([tree]))


@pytest.mark.parametrize("text", ORDERED)
def test_an_order_that_somebody_chose_passes(text: str) -> None:
    tree = ast.parse(text)
    assert not find_unordered(tree, set_attributes([tree]))


def test_an_attribute_is_a_set_where_all_modules_agree() -> None:
    one = ast.parse("class A:\n    names: set[str]\n    ports: set[int]")
    other = ast.parse("class B:\n    names: list[str]")
    assert set_attributes([one, other]) == {"ports"}
    user = ast.parse("for x in a.ports: pass\nfor x in a.names: pass")
    assert find_unordered(user, set_attributes([one, other])) == [
        "1: iterates over the set a.ports; sort it"
    ]
