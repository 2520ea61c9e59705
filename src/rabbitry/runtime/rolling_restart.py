"""`rabbitry restart`: nodes are restarted one after another, while the others serve their queues.

Each in turn: its queues are whole on another node; it hands over what it leads; the balancer sends
nobody there any more; it ends in order (its clients' connections are closed, and find another
node); it starts, joins, and has caught up; the balancer hears so; only then the next. What the
waiting is for, and that it takes long, is told as it goes. A wait that is too long ends the restart
there: nothing is taken down that another node may lack something of.

Nothing is begun while a disk is in trouble: a node that comes back could not write what it has
missed, and would be away until there is room. Trouble that comes later ends it before the next
node, and is named while one is waited for.

Exclusive queues are no matter of a restart: they go with their connections.

When nobody waits for the end any more (Ctrl-C), a node at hand is finished and no other begun; one
that was only waited for is left as it is. When everything is being stopped, whoever runs this
cancels it, and nothing more is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from typing import Any, Protocol

from rabbitry.runtime.balancer_socket import BalancerSilent
from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.errors import EXIT_NOT_SO, UserError
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.operating import Ask
from rabbitry.runtime.processes import ChildFailed

GRACE_S = 20.0
"""How long a process has between SIGTERM and SIGKILL: a node's last commit may take a while."""

JOIN_S = 30.0
"""How long `up` and `start` wait for a node to join before they say that something is wrong."""

HAND_OVER_S = 10.0
"""How long a node has to hand over; what it leads still then moves when it ends."""

LOOK_S = 0.1
"""How often the coordinator is asked how far it is: nobody tells when a replica has caught up."""

TELL_S = 5.0
"""How often it is told what is waited for, if that is another thing than was told before. The log
has it once, and when a disk's trouble comes."""

AGAIN_S = 15.0
"""How often the same is told again: that it goes on."""

Queue = dict[str, Any]  # as in the coordinator's answer to "status"
Find = Callable[[str], Awaitable[list[Queue]]]  # of the node of this name

_log = logging.getLogger("rabbitry")


class Rounds(Protocol):
    """The balancer in front: `take_out` and `put_back` raise `BalancerSilent`."""

    async def take_out(self, node: str) -> None:
        """No new connection goes to this node."""
        ...

    async def put_back(self, node: str) -> None:
        """New connections go to this node again."""
        ...


class RollingRestart:
    """One restart of some nodes."""

    def __init__(
        self,
        ask: Ask,
        nodes: Mapping[str, ManagedProcess],
        asker: Asker,
        timeout_s: float,
        rounds: Rounds | None = None,
    ) -> None:
        """`ask` asks the coordinator; `nodes` are all there are; `timeout_s` is for each wait;
        `rounds` are those of the balancer in front, if there is one."""
        self._rounds = rounds
        self._ask = ask
        self._nodes = nodes
        self._asker = asker
        self._timeout_s = timeout_s
        self._trouble = ""  # of disks, as it was when the coordinator was asked last

    async def run(self, chosen: list[ManagedProcess]) -> list[str]:
        """Restart these, and return the names of those that were; raises `UserError`."""
        self._note([], chosen)
        for node in chosen:
            if why := _why_not(node):
                raise UserError(f"{why}, or restart others by name", EXIT_NOT_SO)
        await self._check_disks("make room first")
        done: list[str] = []
        for node in chosen:
            if self._asker.gone:
                _log.info("restart given up by its asker, restarted=%s", ",".join(done))
                break
            if not await self._restart(node, partial(self._note, done, chosen, node.name)):
                break
            done.append(node.name)
            self._note(done, chosen)
        return done

    def _note(self, done: list[str], chosen: list[ManagedProcess], at_hand: str = "") -> None:
        """Note what to say to an asker that leaves now."""
        names = [node.name for node in chosen if node.name not in (*done, at_hand)]
        parts = [
            f"{_are(done)} restarted" if done else "",
            f"{at_hand} is being restarted to the end" if at_hand else "",
            f"{_are(names)} untouched" if names else "",
        ]
        self._asker.if_left = "; ".join(part for part in parts if part)

    async def _restart(self, node: ManagedProcess, begun: Callable[[], None]) -> bool:
        """Restart it; False: its asker went away before it was touched.

        `begun` is called just before it is touched.
        """
        name = node.name
        await self._must(name, "another replica is in sync", self._only_there, while_asked=True)
        await self._check_disks("nothing more was restarted; make room first")
        if self._asker.gone:
            _log.info("restart given up by its asker while it waited, node=%s", name)
            return False
        begun()
        alone = await self._alone(name)
        if kept := [one for one in alone if one["durable"]]:
            self._tell(f"{name}: no other node has {_named(kept)}: away until it is back")
        if transient := [one for one in alone if not one["durable"]]:
            self._tell(f"{name}: no other node has {_named(transient)}, not durable: gone with it")
        if led := await self._led(name):
            self._tell(f"{name}: handing over {_queues(led)}")
            await self._ask(("hand over", name))
            if left := await self._wait(name, "another leads", self._led, HAND_OVER_S):
                self._tell(f"{name}: {_queues(left)} will move when it stops")
        await self._out_of_rounds(name)
        try:
            if why := _why_not(node):  # it was well when we began to wait
                raise UserError(f"{why}; nothing more was restarted", EXIT_NOT_SO)
            self._tell(f"{name}: stopping (pid {node.pid})")
            await node.restart(GRACE_S)
            _check_not_killed(node)
            await self._joined(node)
            self._tell(f"{name}: started (pid {node.pid})")
            await self._must(name, "its replicas are in sync again", self._behind)
            self._tell(f"{name}: in sync")
        finally:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                await self._into_rounds(name)
        return True

    async def _check_disks(self, to_do: str) -> None:
        """Raise `UserError` if a node that comes back could not write what it has missed."""
        await self._queues()
        if self._trouble:
            raise UserError(
                f"{self._trouble}: a node that restarts could not write what it has missed, and "
                f"would not be in sync again; {to_do}, `rabbitry status` shows when it is over",
                EXIT_NOT_SO,
            )

    async def _out_of_rounds(self, name: str) -> None:
        """Let the balancer send nobody there: whoever is cut off finds another node at once."""
        if self._rounds is None:
            return
        try:
            await self._rounds.take_out(name)
        except BalancerSilent as error:
            self._tell(f"{name}: {error}; it is restarted all the same")
        else:
            self._tell(f"{name}: drained, the balancer sends no new connection")

    async def _into_rounds(self, name: str) -> None:
        if self._rounds is None:
            return
        try:
            await self._rounds.put_back(name)
        except BalancerSilent as error:
            self._tell(f"{name}: {error}; a balancer that starts anew knows nothing of the drain")

    async def _joined(self, node: ManagedProcess) -> None:
        """Return when it has joined; raise `UserError` if it cannot, or takes too long."""
        joined = asyncio.ensure_future(node.joined.wait())
        until = monotonic() + self._timeout_s
        try:
            while not joined.done():
                ready = node.child.ready
                news: list[asyncio.Future[Any]] = [joined, ready, node.child.exited]
                waits = [each for each in news if not each.done()]
                await asyncio.wait(waits, timeout=TELL_S, return_when=asyncio.FIRST_COMPLETED)
                _check_not_killed(node)
                if ready.done() and isinstance(failure := ready.exception(), ChildFailed):
                    again = "it is tried again, and nothing more was restarted"
                    raise UserError(f"{failure}; {again}", EXIT_NOT_SO)
                if monotonic() > until:
                    raise UserError(
                        f"node {node.name} has not joined the cluster within {self._timeout_s:g} "
                        "s; nothing more was restarted",
                        EXIT_NOT_SO,
                    )
        finally:
            joined.cancel()

    async def _must(self, name: str, what: str, find: Find, *, while_asked: bool = False) -> None:
        """Wait until `find` finds no queue that keeps us from going on; else raise `UserError`.

        `while_asked`: or until nobody waits for the end any more.
        """
        left = await self._wait(name, what, find, self._timeout_s, while_asked=while_asked)
        if left and not (while_asked and self._asker.gone):
            raise UserError(
                f"{name}: waited {self._timeout_s:g} s in vain until {what}: {_named(left)}"
                f"{self._why_slow()}; nothing more was restarted; `rabbitry status` shows how it "
                "goes on",
                EXIT_NOT_SO,
            )

    async def _wait(
        self, name: str, what: str, find: Find, bound_s: float, *, while_asked: bool = False
    ) -> list[Queue]:
        """Wait until `find` finds no queue, and tell of those it does; return what is left."""
        began = told = monotonic()
        last = ""  # what was told
        named: str | None = None  # the trouble that the log has
        while found := await find(name):
            now = monotonic()
            if now - began > bound_s or (while_asked and self._asker.gone):
                break
            news = self._trouble != (named or "")
            line = f"{name}: waiting until {what}: {_named(found)}{self._why_slow()}"
            if news or now - told >= (TELL_S if line != last else AGAIN_S):
                told, last = now, line
                if news or named is None:
                    _log.info("restart %s", line)
                    named = self._trouble
                self._asker.tell(line)
            # Nobody tells when this changes.
            await asyncio.sleep(LOOK_S)
        return found

    async def _queues(self) -> list[Queue]:
        known = await self._ask("status")
        self._trouble = disk_trouble(known)
        return [one for one in known["queues"] if not one["exclusive"]]

    def _why_slow(self) -> str:
        return f"; {self._trouble}: make room, and it goes on" if self._trouble else ""

    async def _only_there(self, name: str) -> list[Queue]:
        return only_there(await self._queues(), name, self._running())

    async def _behind(self, name: str) -> list[Queue]:
        _check_not_killed(self._nodes[name])
        return behind(await self._queues(), name)

    async def _led(self, name: str) -> list[Queue]:
        """Return the queues that it leads and another could."""
        return [one for one in await self._queues() if one["leader"] == name and one["mirrors"]]

    async def _alone(self, name: str) -> list[Queue]:
        """Return the queues that are on no other node, where there are others."""
        if len(self._nodes) == 1:
            return []
        return [one for one in await self._queues() if [one["leader"], *one["mirrors"]] == [name]]

    def _running(self) -> list[str]:
        return [name for name, node in self._nodes.items() if node.joined.is_set()]

    def _tell(self, line: str) -> None:
        _log.info("restart %s", line)
        self._asker.tell(line)


def _why_not(node: ManagedProcess) -> str:
    """Why a node cannot be restarted, and what to do; empty if it can."""
    start = f"`rabbitry start {node.name}`"
    if not node.alive:
        return f"node {node.name} is not running; start it with {start}"
    if node.child.stopped:
        to_go_on = f"continue it with `rabbitry kill {node.name} --signal CONT`"
        return f"node {node.name} (pid {node.pid}) is stopped; {to_go_on}"
    if not node.joined.is_set():
        joins = f"{start} returns when it has"
        return f"node {node.name} (pid {node.pid}) has not joined the cluster; {joins}"
    return ""


def _check_not_killed(node: ManagedProcess) -> None:
    if node.killed:
        raise UserError(
            f"node {node.name} was killed while it restarted, and stays down; start it with "
            f"`rabbitry start {node.name}`; nothing more was restarted",
            EXIT_NOT_SO,
        )


def only_there(queues: Iterable[Queue], name: str, running: list[str]) -> list[Queue]:
    """Return the queues whose only in-sync replica that runs is on `name`, and that have mirrors.

    Where no other node is to mirror a queue there is nobody to wait for.
    """
    return [
        one
        for one in queues
        if name in one["in_sync"]
        and any(mirror != name for mirror in one["mirrors"])
        and not any(other in running for other in one["in_sync"] if other != name)
    ]


def behind(queues: Iterable[Queue], name: str) -> list[Queue]:
    """Return the queues of which `name` has, or shall have, a replica that is not in sync."""
    return [
        one
        for one in queues
        if name in (one["leader"], *one["mirrors"]) and name not in one["in_sync"]
    ]


def disk_trouble(known: Mapping[str, Any]) -> str:
    """Return which nodes, by the coordinator's status, cannot write; empty if all can."""
    found = []
    low = [node["name"] for node in known["nodes"] if "disk" in node["alarms"]]
    if low:
        found.append(f"{', '.join(low)} {'is' if len(low) == 1 else 'are'} low on disk")
    if known["catalog_trouble"]:
        found.append(f"the catalog cannot be written ({known['catalog_trouble']})")
    return " and ".join(found)


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _queues(queues: list[Queue]) -> str:
    return "1 queue" if len(queues) == 1 else f"{len(queues)} queues"


def _named(queues: list[Queue]) -> str:
    """Return the first of them by name, and how many more there are."""
    first = f"queue {queues[0]['name']!r} in {queues[0]['vhost']!r}"
    return f"{first} and {len(queues) - 1} more" if len(queues) > 1 else first
