"""Which messages of a run are persistent, whatever stands before the mode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.persistence import persistent_parts
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.properties import DELIVERY_MODE
from rabbitry.wire.values import FieldValue

BEFORE: list[dict[str, FieldValue]] = [
    {},
    {"content_type": "application/json"},
    {"content_encoding": "gzip"},
    {"headers": {"a": 1, "b": {"c": "d"}}},
    {"content_type": "x", "content_encoding": "y", "headers": {}, "priority": 2},
]


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: "+".join(before) or "nothing")
@given(modes=st.lists(st.sampled_from([1, 2, 2, 7])))
def test_parts_are_the_contents_of_mode_two(
    before: dict[str, FieldValue], modes: list[int]
) -> None:
    contents = []
    flags = 0
    for mode in modes:
        encoded = BasicProperties(**{**before, "delivery_mode": mode}).encode()
        flags = int.from_bytes(encoded[:2], "big")
        contents.append(content_frames(1, encoded, b"\x02" * mode, 131072))
    found = persistent_parts(flags, contents)
    assert [at for start, end in found for at in range(start, end)] == [
        at for at, mode in enumerate(modes) if mode == 2
    ]
    assert all(start < end for start, end in found)


def test_without_the_property_nothing_is_looked_at() -> None:
    assert persistent_parts(0, [b""]) == []
    assert persistent_parts(DELIVERY_MODE, []) == []
