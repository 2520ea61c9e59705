"""One broker node as a process of its own: `python -m rabbitry.runtime.node_process`.

Owns the process around a `rabbitry.node` machine: its settings (a JSON line on standard input,
where neither `ps` nor the environment shows the secret), its listeners, its log, its orderly end.
Imports as little as it can: the time from a node's death to its return is mostly this.

SIGTERM: the node closes its client connections with 320, then the process ends with 0. The end of
standard input (the supervisor is gone, however it died) means the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from rabbitry.machine import Address, Machine
from rabbitry.runtime.driver import (
    Driver,
    DriverStopped,
    ListenFailed,
    MachineFailed,
    wall_clock_offset_us,
)
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.errors import EXIT_SOFTWARE, EXIT_USAGE, UserError
from rabbitry.runtime.garbage import tune_garbage_collection
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.loop import run
from rabbitry.runtime.node_options import DEFAULTS, NodeOptions
from rabbitry.runtime.processes import raise_open_files_limit
from rabbitry.runtime.store import Store
from rabbitry.runtime.supervised import (
    read_settings_line,
    ready_file,
    tell_failed,
    tell_ready,
    when_to_stop,
)
from rabbitry.runtime.tls import TlsFailed, TlsSettings
from rabbitry.runtime.watermarks import Watch, Watermarks

SHUTDOWN_S = 2.5
"""How long clients have for closing in order; the supervisor kills after twice that."""

CLOSE_S = 1.0
"""How long what waits on the links may take to go out after that."""

Listening = tuple[str, str, int, TlsSettings | None]
"""A listener: name, host, port, and TLS if it has that."""

_log = logging.getLogger("rabbitry")


class NodeProcessSettings(msgspec.Struct, kw_only=True):
    """What the supervisor gives a node process. `log` and `store` are paths of its own."""

    name: str
    secret: str
    host: str
    port: int
    tls_port: int = 0
    coordinator_host: str
    coordinator_port: int
    log: str
    store: str
    options: NodeOptions = DEFAULTS


async def serve_node(
    driver: Driver,
    listeners: list[Listening],
    *,
    watermarks: Watermarks,
    store: Store,
    supervised: bool,
    serving: Callable[[dict[str, Address]], None],
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Run a node until it is told to stop; return the exit code.

    `store` is the driver's. `prepare` is awaited before anybody can connect; `serving` is called
    with the address of each, by name, as soon as all of them listen. Raises `ListenFailed`,
    `TlsFailed`, and `UserError` if the node ends by itself.
    """
    stopping = asyncio.Event()
    when_to_stop(asyncio.get_running_loop(), stopping.set, supervised=supervised)
    driver.start()
    if prepare is not None:
        await prepare()
    addresses = {
        name: await driver.listen(name, host, port, tls) for name, host, port, tls in listeners
    }
    serving(addresses)
    watch = Watch(watermarks, driver.take, driver.tell, store.reusable_bytes)
    watching = asyncio.ensure_future(watch.run())
    told = asyncio.ensure_future(stopping.wait())
    ended = asyncio.ensure_future(driver.stopped())
    await asyncio.wait([told, ended], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    watching.cancel()
    if ended.done() and ended.exception() is not None:
        return EXIT_SOFTWARE
    if ended.done():
        await driver.close(CLOSE_S)
        raise UserError(ended.result())
    with contextlib.suppress(TimeoutError, DriverStopped, MachineFailed):
        async with asyncio.timeout(SHUTDOWN_S):
            await driver.ask("shutdown")
    await driver.close(CLOSE_S)
    return 0


STORE_S = 10.0
"""How long to wait for the store: a process of a supervisor that was killed may be about to end."""


async def _main(settings: NodeProcessSettings, ready: int | None) -> int:
    from rabbitry.node import Node, NodeSettings

    machine: Machine = Node(
        NodeSettings(
            name=settings.name,
            incarnation=os.urandom(8).hex(),
            secret=bytes.fromhex(settings.secret),
            coordinator=Address(settings.coordinator_host, settings.coordinator_port),
            wall_clock_offset_us=wall_clock_offset_us(),
            **settings.options.settings(),
        ),
        SystemEntropy(),
    )
    try:
        store = LmdbStore.open(
            Path(settings.store), SystemEntropy(), replace=True, patience_s=STORE_S
        )
    except UserError as error:
        tell_failed(ready, str(error))
        return EXIT_USAGE
    tune_garbage_collection()

    last_word = os.dup(ready) if ready is not None else None

    def serving(addresses: dict[str, Address]) -> None:
        _log.info("node listens name=%s address=%s", settings.name, addresses["amqp"])
        tell_ready(ready, port=addresses["amqp"].port)

    host, tls = settings.host, settings.options.tls()
    listeners: list[Listening] = [("amqp", host, settings.port, None), ("cluster", host, 0, None)]
    if tls is not None:
        listeners.append(("amqps", host, settings.tls_port, tls))
    try:
        return await serve_node(
            Driver(machine, store=store),
            listeners,
            watermarks=settings.options.watermarks(str(Path(settings.log).parent)),
            store=store,
            supervised=True,
            serving=serving,
        )
    except (ListenFailed, TlsFailed, UserError) as error:
        tell_failed(last_word, str(error))
        return EXIT_USAGE


def main(arguments: list[str]) -> int:
    """Run the node that standard input describes; return the exit code of the process."""
    from rabbitry.runtime.logs import log_to

    ready = ready_file(arguments)
    settings = msgspec.json.decode(read_settings_line(), type=NodeProcessSettings)
    log_to(Path(settings.log))
    raise_open_files_limit()
    try:
        return run(_main(settings, ready))
    except Exception as error:
        _log.exception("node process failed")
        tell_failed(ready, f"{type(error).__name__}: {error}")
        return EXIT_SOFTWARE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
