"""A test that plays scenarios to HAProxy and to ours has two tries, and the end of the run says so.

Owns `twice_at_most`, which tests/haproxy/conftest.py puts around each test, and the words for what
was seen the first time. Both sides keep time in scenarios, as people's files do: `inter 300` is for
a quiet machine, and on one that stands still for half a second HAProxy itself sees a timeout where
it saw a refusal. A real difference is there the second time too.

What plays nothing has one try: it keeps no time of a balancer's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

TOLD_MAX = 600
"""So many characters of what was wrong are told of a test that passes then."""

_plays = 0


def playing() -> None:
    """Note that a scenario is being played."""
    global _plays
    _plays += 1


def twice_at_most(
    test: Callable[..., None], name: str, say: Callable[[str], None]
) -> Callable[..., None]:
    """The test, which is run once more if it fails and has played something: `say` tells it."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        before = _plays
        try:
            test(*arguments, **named)
        except (Exception, pytest.fail.Exception) as error:
            if _plays == before:
                raise
            say(f"{name}: had to be played again: {what_was_wrong(error)}")
        else:
            return
        test(*arguments, **named)

    return run


def what_was_wrong(error: BaseException) -> str:
    """The begin of what the error says, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= TOLD_MAX else f"{said[:TOLD_MAX]}..."


def first_difference(ours: object, theirs: object, place: str = "") -> str:
    """Where two results differ, and how: the innermost place of lists, tuples and dicts."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        pairs = [(f"{place}[{key!r}]", ours[key], theirs[key]) for key in ours]
    elif (
        isinstance(ours, list | tuple)
        and isinstance(theirs, list | tuple)
        and len(ours) == len(theirs)
    ):
        pairs = [(f"{place}[{n}]", *both) for n, both in enumerate(zip(ours, theirs, strict=True))]
    else:
        pairs = []
    for inner, one, other in pairs:
        if one != other:
            return first_difference(one, other, inner)
    return f"{place} ours: {ours!r}, HAProxy's: {theirs!r}".lstrip()
