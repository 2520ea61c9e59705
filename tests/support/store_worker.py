"""A process that has a store open: commits as its standard input says, one line of answer each.

Run as `python store_worker.py DIRECTORY [BYTES_MAX]`: with BYTES_MAX no file may grow longer.
Input `KEY SIZE`: commit a value of that size, made by `value_of`; the answer is `ok` or the errno's
name. `?KEY SIZE` reads it: `ok`, `none` or `wrong`. `end` closes the store.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import sys
from functools import partial
from pathlib import Path

from rabbitry.machine import BULK
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.store import Values


def value_of(key: bytes, size: int) -> bytes:
    """Return the value that the worker writes under this key."""
    return (key * (size // len(key) + 1))[:size]


def tell(expected: bytes, values: Values) -> None:
    [found] = values
    print("none" if found is None else "ok" if found == expected else "wrong", flush=True)


async def main(directory: Path, bytes_max: int) -> None:
    store = LmdbStore.open(directory, SystemEntropy(), replace=False)
    store.load()
    if bytes_max:
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, resource.RLIM_INFINITY))
    print("open", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        name, size = line.split()
        key = BULK + name.lstrip("?").encode()
        value = value_of(key, int(size))
        if name.startswith("?"):
            await store.read([key], partial(tell, value))
            continue
        try:
            await store.commit([(key, value)])
            print("ok", flush=True)
        except OSError as error:
            print(errno.errorcode[error.errno or 0], flush=True)
    store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
