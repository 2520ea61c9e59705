"""Records: every one survives its encoding, tags are unique, and anything else is refused."""

from __future__ import annotations

import contextlib
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rabbitry.cluster import records
from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.records import (
    AnyRecord,
    Changed,
    NodeJoined,
    QueuePlaced,
    Requested,
    decode,
    decode_change,
    encode,
)

KINDS = get_args(AnyRecord)
# hypothesis takes a default that is a list for a value: in records that are in others too.
st.register_type_strategy(QueuePlaced, lambda kind: every_field(kind))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_a_record_survives(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(every_field(kind).filter(_fits))
    encoded = encode(record)
    assert decode(encoded) == record
    assert decode(memoryview(encoded)) == record


def every_field(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Values for fields with a default too."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: st.from_type(hints[name]) for name in kind.__struct_fields__})


def _fits(record: Record) -> bool:
    """Integers of 64 bits and text that UTF-8 can say are all that there is."""
    try:
        encode(record)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True


@pytest.mark.parametrize("kind", get_args(records.Change), ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_a_change_survives_the_store(kind: type[Any], data: st.DataObject) -> None:
    change = data.draw(every_field(kind).filter(_fits))
    assert decode_change(encode(change)) == change


def test_tags_are_unique() -> None:
    kinds = [*KINDS, *get_args(records.Change), *get_args(records.Request)]
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert len(dict.fromkeys(tags)) == len(tags)


def test_changes_and_requests_travel_inside() -> None:
    placed = QueuePlaced(1, 2, "a", ["b"], ["a", "b"])
    changed = Changed(7, [placed, NodeJoined("a", "1", "h", 1)])
    assert decode(encode(changed)) == changed
    assert decode(encode(Requested(1, records.DeleteQueue(5)))) == Requested(
        1, records.DeleteQueue(5)
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x00", msgspec.msgpack.encode((7, 1)), msgspec.msgpack.encode((76, "x"))],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


@given(st.binary(max_size=64))
def test_noise_is_a_record_or_refused(data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError, ValueError):
        assert isinstance(decode(data), Record)
