"""The process of `rabbitry up`: the coordinator, the nodes, the balancer, and the control socket.

Owns who is started, in which order; what commands do to them is `command_desk`. The coordinator
runs in this process, on its own driver; each node and the balancer are processes of their own
(`managed`).

Start: take the data directory; serve commands; at a first start settle who may log in
(`boot_definitions`), at a later one tell the coordinator that none of the nodes it knows is alive;
listen for the nodes; start all nodes and the balancer at once; let the balancer serve when the
nodes have joined (`readiness`), so that it finds them up; print the one ready line when it does.
Whatever fails before that ends everything that had started, with one line. End: the coordinator,
and all children at once, SIGTERM first, SIGKILL after `GRACE_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
from typing import Any

import msgspec

from rabbitry.machine import Address, Report
from rabbitry.runtime import control
from rabbitry.runtime.alarm_agents import AlarmAgents, Telling, Troubles
from rabbitry.runtime.balancer_socket import BalancerRounds
from rabbitry.runtime.boot_definitions import read_boot_definitions, url
from rabbitry.runtime.command_desk import CommandDesk
from rabbitry.runtime.control_server import Asker, ControlServer
from rabbitry.runtime.data_directory import DataDirectory
from rabbitry.runtime.driver import Driver, DriverStopped, ListenFailed, MachineFailed
from rabbitry.runtime.entropy import SystemEntropy
from rabbitry.runtime.errors import EXIT_NOT_SO, EXIT_SOFTWARE, UserError
from rabbitry.runtime.healing import Healing, HealingWatch
from rabbitry.runtime.lmdb_store import LmdbStore
from rabbitry.runtime.logs import bound_log
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.processes import Child, ChildFailed
from rabbitry.runtime.readiness import all_joined, some_joined, unless_it_ends
from rabbitry.runtime.rolling_restart import GRACE_S, JOIN_S
from rabbitry.runtime.up_settings import UpSettings

CLOSE_S = 1.0
"""How long the end waits for nodes that take no note of the coordinator's."""

LOG_LOOK_S = 30.0
"""How often the size of the balancer's log is looked at."""

BALANCER = "balancer"

BALANCER_MODULE = "rabbitry.console.balancer_process"
"""What is run as the balancer: it stands above this room, so it is named, not imported."""

SERVE = b"serve"
"""The line that lets a waiting balancer serve."""

_log = logging.getLogger("rabbitry")


class Supervisor:
    """Everything of one `rabbitry up`."""

    def __init__(self, settings: UpSettings, directory: DataDirectory) -> None:
        self._settings = settings
        self._directory = directory
        self._boot = read_boot_definitions(settings.definitions)
        self._first = not directory.layout.begun.exists()
        self._nodes: dict[str, ManagedProcess] = {}
        self._balancer: ManagedProcess | None = None
        self._troubles = Troubles()
        self._agents = AlarmAgents(self._troubles.line)
        over = "no node is low on anything any more: publishers go on"
        writable = "the catalog can be written again: declarations and failovers go on"
        self._tellings = (
            Telling(lambda: self._troubles.alarms, over, say),
            Telling(lambda: self._troubles.catalog, writable, say),
        )
        self._healing = HealingWatch(
            Healing(directory.layout.log), lambda question: self._coordinator.ask(question), say
        )
        self._ending = False
        self._stop_asked = asyncio.Event()
        self._gone = asyncio.Event()
        self._refused = asyncio.Event()
        self._refusal = ""  # why the coordinator does not go with a node: its store is older
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Run until SIGINT, SIGTERM, SIGHUP or `rabbitry stop`; return the exit code.

        Raises `UserError` if something cannot be started. In any case nothing is left running.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup(1) ignores SIGHUP for us; that is to stay so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._interrupted)
        secret = self._directory.secret()
        self._coordinator = self._make_coordinator(secret)
        self._desk = CommandDesk(
            self._settings,
            self._directory.layout,
            self._coordinator.ask,
            self._nodes,
            lambda: self._balancer,
            self._rounds(),
        )
        server = ControlServer(self._handle)
        await server.open(self._directory.socket)
        try:
            return await self._serve(secret)
        except (ChildFailed, ListenFailed) as error:
            raise UserError(_with_hint(str(error), self._settings)) from None
        finally:
            await self._stop_all()
            self._gone.set()
            await server.close()
            _log.info("stopped")

    async def _serve(self, secret: bytes) -> int:
        self._coordinator.start()
        await self._bury()
        if self._first:
            await self._boot.secure(self._coordinator.ask)
        elif self._boot.file is not None:
            command = f"`rabbitry definitions import {self._boot.file}`"
            say(f"--definitions is for a first start and not read now; {command} is for later")
        address = await self._coordinator.listen("cluster", self._settings.host, 0)
        # The balancer first: it takes longest, for its statistics page needs a web server.
        names = [name for name, _ in self._settings.places]
        agents = await self._agents.open(self._settings.host, names)
        self._balancer = self._make_balancer(agents)
        for name, place in self._settings.places:
            self._nodes[name] = ManagedProcess(
                name,
                place.port,
                self._node_spawner(name, place, address, secret),
                self._node_died,
            )
        asked = asyncio.create_task(self._stop_asked.wait())
        logs = asyncio.create_task(self._bound_logs())
        failed = asyncio.create_task(self._coordinator.stopped())
        refused = asyncio.create_task(self._refused.wait())
        ready = asyncio.create_task(self._all_ready())
        try:
            first = [asked, failed, refused, ready]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise UserError(self._refusal)
            if not ready.done():
                return self._verdict(failed)
            ready.result()
            for process in [*(self._nodes.values() if self._first else ()), self._balancer]:
                process.keep_running()
            _log.info("ready address=%s", self._settings.front)
            await self._print_ready()
            await asyncio.wait([asked, failed], return_when=asyncio.FIRST_COMPLETED)
            return self._verdict(failed)
        finally:
            for task in (asked, failed, refused, ready, logs):
                task.cancel()

    async def _print_ready(self) -> None:
        found = await self._coordinator.ask("definitions")
        with contextlib.suppress(OSError):  # whoever wanted to read it is gone
            print(f"ready: {url('amqp', self._settings.front, found)}", flush=True)
            if self._settings.tls_places:
                print(f"ready: {url('amqps', self._settings.tls_front, found)}", flush=True)

    def _verdict(self, coordinator: asyncio.Task[str]) -> int:
        if coordinator.done() and isinstance(coordinator.exception(), MachineFailed):
            log = self._directory.layout.log("supervisor")
            print(f"rabbitry: the coordinator failed, a bug of ours; see {log}", file=sys.stderr)
            return EXIT_SOFTWARE
        return 0

    async def _bound_logs(self) -> None:
        # Nodes rotate their own logs; the balancer just writes to standard error, as HAProxy does.
        while True:
            bound_log(self._directory.layout.log(BALANCER))
            await asyncio.sleep(LOG_LOOK_S)

    async def _all_ready(self) -> None:
        """Return when the balancer serves, with the nodes there are; raise `ChildFailed` if not.

        At a first start there have to be all; see `readiness`.
        """
        assert self._balancer is not None
        layout = self._directory.layout
        balancer = self._balancer
        if self._first:
            joined = asyncio.ensure_future(all_joined(self._nodes, layout, JOIN_S))
            await unless_it_ends(joined, balancer, layout)
            await self._boot.declare(self._coordinator.ask)
            layout.begun.touch(mode=0o600)
        else:
            for node in self._nodes.values():
                node.keep_running()
            some = asyncio.ensure_future(some_joined(self._nodes, layout, JOIN_S))
            await unless_it_ends(some, balancer, layout)
            for why in some.result().values():
                say(f"{_with_hint(why, self._settings)}; going on without it, it is tried again")
            await self._tell_who_waits()
        balancer.child.give(SERVE)
        try:
            async with asyncio.timeout(JOIN_S):
                await unless_it_ends(asyncio.shield(balancer.child.ready), balancer, layout)
        except TimeoutError:
            raise ChildFailed(f"{BALANCER} did not serve within {JOIN_S:.0f} s") from None

    async def _tell_who_waits(self) -> None:
        """Say it if queues wait for a replica that is complete."""
        known = await self._coordinator.ask("status")
        waiting = [queue for queue in known["queues"] if queue["waits"]]
        if waiting:
            first = f"{waiting[0]['name']!r} in {waiting[0]['vhost']!r} {waiting[0]['waits']}"
            say(f"{len(waiting)} of {len(known['queues'])} queues wait: {first}; `rabbitry status`")

    # --- what is started ------------------------------------------------------------------------

    def _make_coordinator(self, secret: bytes) -> Driver:
        from rabbitry.cluster.coordinator import Coordinator, CoordinatorSettings

        names = tuple(name for name, _ in self._settings.places)
        machine = Coordinator(CoordinatorSettings(secret=secret, node_names=names), SystemEntropy())
        path = self._directory.layout.store("coordinator")
        store = LmdbStore.open(path, SystemEntropy(), replace=False)
        return Driver(machine, store=store, on_report=self._reported)

    def _reported(self, report: Report) -> None:
        if not (self._ending or self._stop_asked.is_set()):  # that nodes leave then is no news
            self._troubles.heard(report)
            for telling in self._tellings:
                telling.look()
            self._healing.heard(report)
        if report.what == "node turned away":
            self._refusal = str(report.details["reason"])
            self._refused.set()
        node = self._nodes.get(str(report.details.get("node")))
        if node is None:
            return
        if report.what == "node joined":
            node.joined.set()
        elif report.what == "node left":
            node.joined.clear()

    async def _bury(self) -> None:
        """Tell the coordinator that no node of our earlier life is alive.

        They end before their supervisor's lock does, and we have that now; see `data_directory`.
        """
        known = await self._coordinator.ask("status")
        for node in known["nodes"]:
            await self._coordinator.ask(("node died", node["name"]))

    def _node_died(self, name: str) -> None:
        """Tell the coordinator what a lost link does not tell it: that the node is dead."""
        telling = asyncio.create_task(self._tell_of_death(name))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell_of_death(self, name: str) -> None:
        with contextlib.suppress(DriverStopped, MachineFailed):
            await self._coordinator.ask(("node died", name))

    def _node_spawner(self, name: str, place: Address, coordinator: Address, secret: bytes) -> Any:
        log = self._directory.layout.log(name)
        settings = msgspec.json.encode(
            {
                "name": name,
                "secret": secret.hex(),
                "host": place.host,
                "port": place.port,
                "tls_port": dict(self._settings.tls_places).get(name, place).port,
                "coordinator_host": coordinator.host,
                "coordinator_port": coordinator.port,
                "log": str(log),
                "store": str(self._directory.layout.store(name)),
                "options": self._settings.options,
            }
        )
        # The name is there for people who look with `ps`; the process itself ignores it.
        arguments = [sys.executable, "-P", "-m", "rabbitry.runtime.node_process", "--name", name]
        keeps = (self._directory.lock,)
        return lambda: Child(f"node {name}", arguments, settings=settings, log=log, keeps=keeps)

    def _rounds(self) -> BalancerRounds:
        from rabbitry.balancer.configuration.classic import FRONT, TLS_SUFFIX

        sections = [(FRONT, "")]
        if self._settings.tls_places:
            sections.append((FRONT + TLS_SUFFIX, TLS_SUFFIX))
        return BalancerRounds(self._directory.balancer_socket, tuple(sections))

    def _make_balancer(self, agents: dict[str, Address]) -> ManagedProcess:
        from rabbitry.balancer.configuration.classic import classic

        settings = self._settings
        path = self._directory.layout.balancer_configuration
        tls = (settings.tls_front, settings.tls_places) if settings.tls_places else None
        socket = str(self._directory.balancer_socket)
        path.write_text(
            classic(
                settings.front,
                settings.places,
                settings.statistics,
                tls=tls,
                agents=agents,
                runtime_socket=socket,
            )
        )
        arguments = [sys.executable, "-P", "-m", BALANCER_MODULE]
        arguments += ["--config", str(path), "--supervised", "--when-told"]
        log = self._directory.layout.log(BALANCER)

        def spawn() -> Child:
            # The first is told when the nodes have joined; one that takes its place serves at once.
            told = SERVE if self._balancer is not None else b""
            keeps = (self._directory.lock,)
            return Child(BALANCER, arguments, settings=told, log=log, keeps=keeps)

        return ManagedProcess(BALANCER, settings.balancer_port, spawn)

    # --- commands -------------------------------------------------------------------------------

    async def _handle(self, request: control.Request, asker: Asker) -> dict[str, Any]:
        if isinstance(request, control.Stop):
            self._stop_asked.set()
            await self._gone.wait()
            return {}
        stopping = UserError("this Rabbitry is being stopped", EXIT_NOT_SO)
        if self._stop_asked.is_set():
            raise stopping
        carried = asyncio.ensure_future(self._desk.carry_out(request, asker))
        if isinstance(request, control.Start | control.Restart | control.Rebalance):
            # It waits for nodes, which end now like all the others: that is no failure of theirs.
            stop_asked = asyncio.ensure_future(self._stop_asked.wait())
            await asyncio.wait([carried, stop_asked], return_when=asyncio.FIRST_COMPLETED)
            stop_asked.cancel()
            if not carried.done():
                carried.cancel()
                await asyncio.wait([carried])
                raise stopping
        try:
            return await carried
        except DriverStopped:
            raise stopping from None

    # --- the end --------------------------------------------------------------------------------

    def _interrupted(self) -> None:
        """End everything in order at the first signal, at once at the second."""
        if self._stop_asked.is_set():
            for process in self._processes():
                process.child.signal(signal.SIGKILL)
        self._stop_asked.set()

    def _processes(self) -> list[ManagedProcess]:
        return [*self._nodes.values(), *([self._balancer] if self._balancer else [])]

    async def _stop_all(self) -> None:
        """End everything: all children at once, and the coordinator first of all.

        So nobody takes over from those that end a moment earlier, and who is in sync with whom
        stays as it was: whichever node is back first may lead.
        """
        self._ending = True
        self._agents.close()
        self._healing.close()
        for telling in self._tellings:
            telling.close()
        await asyncio.gather(
            self._coordinator.close(CLOSE_S),
            *(process.stop(GRACE_S) for process in self._processes()),
        )


def _with_hint(line: str, settings: UpSettings) -> str:
    """Say which option chooses another port, where a port was the trouble."""
    if os.strerror(errno.EADDRINUSE) not in line:
        return line
    if f"{settings.front} " in line:
        return f"{line}; choose another with --balancer-port"
    if f"{settings.statistics} " in line:
        return f"{line}; choose another with --stats-port"
    return f"{line}; choose others with --port"


def say(line: str) -> None:
    """Tell whoever looks at the terminal; whoever does not will find it in the log."""
    _log.warning("%s", line)
    with contextlib.suppress(OSError):
        print(f"rabbitry: {line}", file=sys.stderr, flush=True)


def run_up(settings: UpSettings) -> int:
    """Run `rabbitry up` in this process; return its exit code. Raises `UserError`."""
    from rabbitry.runtime.logs import log_to
    from rabbitry.runtime.loop import run
    from rabbitry.runtime.processes import raise_open_files_limit

    os.umask(0o077)  # logs and the control socket are nobody else's business
    directory = DataDirectory.hold(settings.data_dir, say)
    try:
        log_to(directory.layout.log("supervisor"))
        raise_open_files_limit()

        async def main() -> int:
            return await Supervisor(settings, directory).run()

        return run(main())
    finally:
        directory.release()
