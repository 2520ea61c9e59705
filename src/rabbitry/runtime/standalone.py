"""`rabbitry node`: one broker node alone, in the foreground, until Ctrl-C.

Owns how it stands in the terminal: the ready line, warnings, the end, errors as `UserError`. There
is no log: reports of level warning and error go to standard error.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from rabbitry.machine import Address, Machine
from rabbitry.runtime.boot_definitions import BootDefinitions, read_boot_definitions, url
from rabbitry.runtime.data_directory import node_alone
from rabbitry.runtime.driver import Driver, ListenFailed, wall_clock_offset_us
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.errors import EXIT_SOFTWARE, UserError
from rabbitry.runtime.garbage import tune_garbage_collection
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.loop import run
from rabbitry.runtime.node_options import NodeOptions
from rabbitry.runtime.node_process import Listening, serve_node
from rabbitry.runtime.operating import Ask
from rabbitry.runtime.processes import raise_open_files_limit

_log = logging.getLogger("rabbitry")


def log_to_terminal() -> None:
    """Send warnings and errors to standard error, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)


class OneLine(logging.Formatter):
    """Writes an exception as part of the line, without its traceback.

    RABBITRY_TRACEBACK=1 in the environment shows it.
    """

    def formatException(self, ei: Any) -> str:
        """Return what is written of an exception."""
        return super().formatException(ei) if os.environ.get("RABBITRY_TRACEBACK") else ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = super().format(record).rstrip("\n")
        if record.exc_info and record.exc_info[0] and not os.environ.get("RABBITRY_TRACEBACK"):
            kind, error = record.exc_info[:2]
            line += f": {kind.__name__}: {error}; RABBITRY_TRACEBACK=1 shows where"
        return line


class _Beginning:
    """What the first start of a store begins with; `found` are the definitions there are then."""

    def __init__(self, store: Path, boot: BootDefinitions) -> None:
        self.found: dict[str, Any] = {}
        self._boot = boot
        self._begun = store.with_name(f"{store.name}.begun")
        self._first = not self._begun.exists()
        if boot.file is not None and not self._first:
            _log.warning("%s is for a first start and not read now", boot.file)

    async def carry_out(self, ask: Ask) -> None:
        """Carry it out if this is the first start; raises `UserError` if that is refused."""
        if self._first:
            await self._boot.secure(ask)
            await self._boot.declare(ask)
            self._begun.touch(mode=0o600)
        self.found = await ask("definitions")


def run_standalone(
    name: str,
    listen: tuple[str, int],
    tls_listen: tuple[str, int],
    options: NodeOptions,
    data_dir: Path,
    definitions: Path | None = None,
) -> int:
    """Run one broker node that listens on (host, port); return the exit code.

    It begins with what the file `definitions` says. With TLS, where the options have a certificate,
    it listens on `tls_listen`. It keeps what it has in `data_dir`, under its name. Raises
    `UserError` if it cannot listen there, or its store cannot be used.
    """
    from rabbitry.node import NodeSettings
    from rabbitry.standalone import StandaloneNode

    log_to_terminal()
    raise_open_files_limit()
    settings = NodeSettings(
        name=name,
        incarnation=os.urandom(8).hex(),
        secret=os.urandom(32),
        coordinator=Address("", 0),
        wall_clock_offset_us=wall_clock_offset_us(),
        **options.settings(),
    )
    try:
        with node_alone(data_dir, name) as place:
            machine = StandaloneNode(settings, SystemEntropy())
            code = _run(machine, place, listen, tls_listen, options, definitions)
    except ListenFailed as error:
        option = "--tls-listen" if "(amqps)" in str(error) else "--listen"
        raise UserError(f"{error}; choose another with {option}") from None
    if code == EXIT_SOFTWARE:
        raise UserError("the node failed, a bug of ours; the lines above say how", code)
    return code


def _run(
    machine: Machine,
    place: Path,
    listen: tuple[str, int],
    tls_listen: tuple[str, int],
    options: NodeOptions,
    definitions: Path | None,
) -> int:
    """Run the node whose store is `place`; return the exit code. Raises `ListenFailed` too."""
    beginning = _Beginning(place, read_boot_definitions(definitions))
    store = LmdbStore.open(place, SystemEntropy(), replace=False)
    driver = Driver(machine, store=store)
    tune_garbage_collection()

    def serving(addresses: dict[str, Address]) -> None:
        for scheme in ("amqp", "amqps"):
            if scheme in addresses:
                print(f"ready: {url(scheme, addresses[scheme], beginning.found)}", flush=True)

    return run(
        serve_node(
            driver,
            _listeners(listen, tls_listen, options),
            watermarks=options.watermarks(str(place.parent)),
            store=store,
            supervised=False,
            serving=serving,
            prepare=lambda: beginning.carry_out(driver.ask),
        )
    )


def _listeners(
    listen: tuple[str, int], tls_listen: tuple[str, int], options: NodeOptions
) -> list[Listening]:
    tls = options.tls()
    plain: Listening = ("amqp", *listen, None)
    return [plain] if tls is None else [plain, ("amqps", *tls_listen, tls)]
