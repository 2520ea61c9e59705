"""Copies of what a store lends."""

from __future__ import annotations

from collections.abc import Awaitable

from rabbitry.runtime.store import Store, Values


def read(store: Store, keys: list[bytes]) -> Awaitable[list[bytes | None]]:
    """Ask for values now; the awaitable has copies of them."""
    found: list[bytes | None] = []

    def take(values: Values) -> None:
        found.extend(None if value is None else bytes(value) for value in values)

    done = store.read(keys, take)

    async def copies() -> list[bytes | None]:
        if done is not None:
            await done
        return found

    return copies()
