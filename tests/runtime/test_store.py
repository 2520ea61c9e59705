"""The store in memory keeps the promises of the seam."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from support.store_reading import read

from rabbitry.machine import BULK
from rabbitry.runtime.store import MemoryStore, Store

KEYS = st.binary(max_size=3)
WRITES = st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)))


@given(st.lists(WRITES))
def test_what_was_committed_last_is_loaded_in_order_of_keys(
    batches: list[list[tuple[bytes, bytes | None]]],
) -> None:
    store: Store = MemoryStore([(b"first", b"1")])
    expected: dict[bytes, bytes | None] = {b"first": b"1"}
    for batch in batches:
        assert store.commit(batch) is None
        expected.update(batch)
    kept = {key: value for key, value in expected.items() if value is not None}
    loaded = store.load()
    assert loaded.stored == sorted(one for one in kept.items() if not one[0].startswith(BULK))
    assert loaded.bulk == sorted(key for key in kept if key.startswith(BULK))
    assert asyncio.run(read(store, [*expected])) == list(expected.values())


def test_later_commits_do_not_change_what_was_loaded() -> None:
    store = MemoryStore()
    loaded = store.load()
    store.commit([(b"k", b"v")])
    assert loaded.stored == []
    assert store.load().stored == [(b"k", b"v")]
