"""Several processes on one port: the first has the machine, and workers are more hands of it.

Owns the workers of a balancer (`nbthread`): they are started, told what the machine wants, heard,
and started again when they die. One machine decides everything, so there is one view of health and
one of statistics; workers accept from the same listening sockets, connect, and pass the bytes of
joined links. A link belongs to the process that accepted it; the link that it will be joined with
(`OpenLink.beside`) is opened there, all others (checks) in the first process.

The listening sockets are shared, not one for each process with SO_REUSEPORT: what waits in the
backlog of a process that dies is then taken by another. (docs/decisions/0092)

What crosses: a worker may tell of bytes, a finish or an end before it hears of a join or a close.
Bytes are sorted out by their count (`worker_process`); what comes of a link that is being closed is
not passed on; `LinkFinished` of a link that was joined meanwhile has no measures before it.

A worker that hangs is killed (`watchdog`); until it is, nobody waits for its figures.

Invariants: as `Hand`. A worker that dies takes its links along: `LinkClosed` for each, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from rabbitry.machine import (
    Address,
    BytesReceived,
    CloseLink,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinksMeasured,
    Measure,
    MeasureLinks,
    OpenLink,
    PauseListening,
    ResumeListening,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime import hand_messages as m
from rabbitry.runtime.becoming import Becoming
from rabbitry.runtime.hand import Hand, Take, Tell
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.listeners import ListenOptions
from rabbitry.runtime.pinging import Pinging
from rabbitry.runtime.privileges import Identity
from rabbitry.runtime.remote_link import RemoteLink
from rabbitry.runtime.renewing import Renewing
from rabbitry.runtime.tls import Tls, TlsSettings
from rabbitry.runtime.watchdog import CANNOT_START, DIED, STARTED_AGAIN, Vigil
from rabbitry.runtime.worker_channel import Channel

ACCEPTS_PER_TURN_MAX = 4
"""Few, so that a burst of clients is spread over the processes: they may stay for days."""

RESTART_PAUSE_S = 1.0
"""How long after its death a worker is started again."""

STEADY_S = 10.0
"""A worker that has lived so long was well: if it dies, that is told anew."""

END_PATIENCE_S = 1.0
"""How long a worker has to end by itself once its channel is closed."""


class Worker:
    """One worker process, running from the moment it is made. `heard` and `gone` are told of it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        first_link: int,
        step: int,
        heard: Callable[[Worker, Any], None],
        gone: Callable[[Worker], None],
    ) -> None:
        self.next_link = first_link
        self._step = step
        self.started_at = loop.time()
        self.links: dict[int, RemoteLink] = {}
        self.opening: dict[int, RemoteLink] = {}
        self.measuring: dict[int, _Measuring] = {}
        self.vigil = Vigil()
        self.is_killed = False
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    *[sys.executable, "-m", "rabbitry.runtime.worker_process"],
                    *map(str, (theirs.fileno(), first_link, step)),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C in a terminal reaches the first process alone
            )
        self._channel = Channel(
            loop, ours, m.happened_decoder, lambda message: heard(self, message), lambda: gone(self)
        )
        self.send = self._channel.send

    def accepted(self, number: int) -> None:
        """Hear which number it gave to a link."""
        self.next_link = number + self._step

    @property
    def signs(self) -> int:
        """How often something has come of it."""
        return self._channel.reads

    @property
    def is_silent(self) -> bool:
        """Whether nobody should wait for its answer."""
        return self.vigil.is_silent(self.signs)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.send(m.Ping())

    def close(self) -> None:
        """Close the channel: the worker ends when it notices."""
        self._channel.close()

    def reap(self, patience_s: float) -> int | None:
        """Wait until it has ended, and see to that; return its exit code.

        None: it is there still, and may not be killed. `subprocess` reaps it at a later start.
        """
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        try:
            self.process.kill()
        except OSError:
            return None
        return self.process.wait()


class _Measuring:
    """A `MeasureLinks` whose answers come from several processes."""

    def __init__(self, number: int, *, every: bool) -> None:
        self.number = number
        self.every = every  # people's question; a session's own is of use with all answers alone
        self.missing = 0
        self.measures: list[Measure] = []


class Crew(JoiningHand):
    """The hand of the first process, with `workers` more processes."""

    accepts_per_turn_max = ACCEPTS_PER_TURN_MAX

    def __init__(self, workers: int) -> None:
        super().__init__(first_link=1, step=workers + 1)
        self._count = workers
        self._opening_at: dict[int, Worker] = {}
        self.workers: list[Worker | None] = []
        self._last_measuring = 0
        self._shared: dict[str, tuple[socket.socket, dict[str, Any] | None, ListenOptions]] = {}
        self._paused: dict[str, None] = {}
        self._same_socket: dict[str, dict[str, None]] = {}  # names of listeners on one socket
        self._restarts: list[asyncio.TimerHandle] = []
        self._told: set[tuple[int, str]] = set()  # since the worker of this index was well
        self._becoming = Becoming()
        self._renewing = Renewing()

    def serve(self, take: Take, tell: Tell) -> None:
        """Hand events to `take` from now on, and start the workers."""
        super().serve(take, tell)
        for index in range(self._count):
            self.workers.append(None)
            self._start(index, index + 2)
        self._pinging = Pinging(self.loop, self._alive, self._silent, tell)

    # --- workers --------------------------------------------------------------------------------

    def _start(self, index: int, first_link: int, *, again: bool = False) -> None:
        if self._ended:
            return
        try:
            worker = Worker(self.loop, first_link, self._count + 1, self._heard, self._gone)
        except OSError as error:
            self._tell_once(index, "error", CANNOT_START, {"reason": str(error)})
            self._restart(index, first_link)
            return
        self.workers[index] = worker
        if again:
            self._tell_once(index, "info", STARTED_AGAIN, {"pid": worker.process.pid})
        self._becoming.started(worker)
        for name, (sock, tls, options) in self._shared.items():
            self._share(worker, name, sock, tls, options)

    def _restart(self, index: int, first_link: int) -> None:
        start = partial(self._start, index, first_link, again=True)
        self._restarts.append(self.loop.call_later(RESTART_PAUSE_S, start))

    def _silent(self, worker: Worker) -> None:
        """It does not answer: answer people with what is known of its links."""
        for number, measuring in list(worker.measuring.items()):
            if measuring.every:
                self._measured(worker, m.Measured([], number))

    def _tell_once(self, index: int, level: str, what: str, details: dict[str, object]) -> None:
        """Tell what would come again each second."""
        if (index, what) not in self._told:
            self._told.add((index, what))
            self.tell(level, what, details)

    async def become(self, identity: Identity) -> None:
        """Have all workers become somebody, as `becoming` says. Raises `PrivilegesFailed`."""
        await self._becoming.become(identity, self._alive())

    async def renew_certificates(self) -> None:
        """Begin new links with what the files hold now, in all processes."""
        self.renew_certificates_here()
        await self._renewing.renew(self._alive())

    def _gone(self, worker: Worker) -> None:
        """A worker has died, and its links with it."""
        code = worker.reap(0)
        index = self.workers.index(worker)
        self.workers[index] = None
        self._renewing.answered(worker)
        self._becoming.answered(worker, "a worker process died before it was somebody else")
        if self.loop.time() - worker.started_at >= STEADY_S:
            self._told -= {told for told in self._told if told[0] == index}
        lost = [*worker.links, *worker.opening]
        if not (self._ended or worker.is_killed):
            details: dict[str, object] = {"exit_code": code, "links": len(lost)}
            self._tell_once(index, "error", DIED, {"pid": worker.process.pid} | details)
        for measuring in list(worker.measuring):
            self._measured(worker, m.Measured([], measuring))
        worker.opening.clear()
        for number in lost:
            self._closed(worker, number, "its worker process died", failed_here=True)
        # A number that it gave, and could not tell of, the machine has never heard.
        self._restart(index, worker.next_link)

    def _alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker is not None]

    # --- listeners ------------------------------------------------------------------------------

    def listen_on(
        self,
        name: str,
        sock: Any,
        secure: Tls | None,
        options: ListenOptions,
        *,
        accepting: bool = True,
    ) -> None:
        """Accept from a listening socket, here and in all workers."""
        super().listen_on(name, sock, secure, options, accepting=accepting)
        if not accepting:
            self._paused[name] = None
        tls = asdict(secure.settings) if secure is not None else None
        self._shared[name] = sock, tls, options
        self._same_socket.setdefault(name, {name: None})
        for worker in self._alive():
            self._share(worker, name, sock, tls, options)

    def _share(
        self,
        worker: Worker,
        name: str,
        sock: socket.socket,
        tls: dict[str, Any] | None,
        options: ListenOptions,
    ) -> None:
        worker.send(m.Listen(name, tls, options, name not in self._paused), sock.fileno())

    def take_over(
        self,
        old: str,
        name: str,
        tls: TlsSettings | None = None,
        options: ListenOptions | None = None,
    ) -> Address:
        """Make the listener `name` out of the socket of the listener `old`."""
        address = super().take_over(old, name, tls, options)
        self._same_socket[name] = self._same_socket[old]
        self._same_socket[old][name] = None
        return address

    def stop_listening(self, name: str) -> None:
        """Free the port of this listener, for workers too at once: they share the socket."""
        names = self._same_socket.pop(name, {})
        names.pop(name, None)
        if name in self._shared and not names:
            with contextlib.suppress(OSError):
                self._shared[name][0].shutdown(socket.SHUT_RDWR)
        super().stop_listening(name)
        self._shared.pop(name, None)
        self._paused.pop(name, None)
        for worker in self._alive():
            worker.send(m.StopListening(name))

    def pause_listening(self, effect: PauseListening) -> None:
        """Accept nothing more of a listener, in all processes."""
        super().pause_listening(effect)
        if effect.listener in self._shared:
            self._paused[effect.listener] = None
        for worker in self._alive():
            worker.send(m.Pause(effect.listener))

    def resume_listening(self, effect: ResumeListening) -> None:
        """Accept again."""
        super().resume_listening(effect)
        self._paused.pop(effect.listener, None)
        for worker in self._alive():
            worker.send(m.Resume(effect.listener))

    # --- links ----------------------------------------------------------------------------------

    def open_link(self, effect: OpenLink) -> None:
        """Begin to open a link, in the process of the one that it will be joined with."""
        beside = self.links.get(effect.beside)
        if isinstance(beside, RemoteLink):
            worker = beside.worker
            worker.opening[effect.link] = RemoteLink(worker, "", effect.link)
            worker.send(m.Open(effect.link, effect.address, effect.options))
            self._opening_at[effect.link] = worker
        else:
            super().open_link(effect)

    def close_link(self, effect: CloseLink) -> None:
        """Close a link, also one that is still being opened."""
        worker = self._opening_at.pop(effect.link, None)
        if worker is None:
            super().close_link(effect)
            return
        # What the worker still tells of it, it tells to nobody.
        worker.opening.pop(effect.link, None)
        worker.send(m.Close(effect.link, True))
        self.take(LinkClosed(effect.link, ""))

    def join(self, first: int, second: int, *late: bytes) -> None:
        """Join two links of one process."""
        one, other = self.links.get(first), self.links.get(second)
        if isinstance(one, RemoteLink) and isinstance(other, RemoteLink):
            if one.worker is other.worker:
                one.joined = other.joined = True
                one.worker.send(m.Join(first, second, one.seen_bytes, other.seen_bytes))
                return
        elif not (isinstance(one, RemoteLink) or isinstance(other, RemoteLink)):
            super().join(first, second, *late)
            return
        elif one is None or other is None:
            super().join(first, second, *late)  # stops the reading of the one that is there
            return
        # A machine that does not say `beside`: a bug of ours, which costs a session, not a process.
        self.tell("error", "links of two processes cannot be joined", {"links": [first, second]})
        for number in (first, second):
            self.close_link(CloseLink(number, abort=True))

    def measure_links(self, effect: MeasureLinks) -> None:
        """Ask all processes concerned; answer when the last has."""
        asked: dict[Worker, list[int]] = {}
        local: list[int] = []
        for number in effect.links:
            link = self.links.get(number) or self._closing.get(number)
            if isinstance(link, RemoteLink):
                asked.setdefault(link.worker, []).append(number)
            else:
                local.append(number)
        if not effect.links:
            asked = {worker: [] for worker in self._alive() if not worker.is_silent}
        measuring = _Measuring(effect.number, every=not effect.links)
        measuring.measures = self.measured_here(local, every=not effect.links)
        self._last_measuring += 1
        for worker, numbers in asked.items():
            measuring.missing += 1
            worker.measuring[self._last_measuring] = measuring
            worker.send(m.MeasureThem(numbers, self._last_measuring))
        if not asked:
            self.take(LinksMeasured(measuring.measures, effect.number))

    def _measured(self, worker: Worker, message: m.Measured) -> None:
        if message.number == 0:
            self.take(LinksMeasured(message.measures))
            return
        measuring = worker.measuring.pop(message.number, None)
        if measuring is None:
            return  # it was silent, and nobody waits any more
        measuring.measures += message.measures
        measuring.missing -= 1
        if not measuring.missing:
            self.take(LinksMeasured(measuring.measures, measuring.number))

    # --- what workers tell ----------------------------------------------------------------------

    def _heard(self, worker: Worker, message: Any) -> None:
        kind = type(message)
        if kind is m.Measured:
            self._measured(worker, message)
        elif kind is m.Opened:
            self._opened(worker, message)
        elif kind is m.Closed:
            self._closed(worker, message.link, message.reason, message.in_handshake)
        elif kind is m.Became:
            self._becoming.answered(worker, message.failure)
        elif kind is m.Renewed:
            self._renewing.answered(worker)
        elif kind is m.Told:
            self.tell(message.level, message.what, dict(message.details))
        elif kind is not m.Alive:
            link = worker.links.get(message.link)
            if link is None or message.link not in self.links:
                return  # it is being closed
            if kind is m.Finished:
                self.take(LinkFinished(link.number))
            elif link.joined:
                pass  # told before the worker knew of the join: it passes these bytes itself
            elif kind is m.Received:
                link.seen_bytes += len(message.data)
                self.take(BytesReceived(link.number, message.data))
            else:
                pace = WritingPaused if message.paused else WritingResumed
                self.take(pace(link.number))

    def _opened(self, worker: Worker, message: m.Opened) -> None:
        number = message.link
        if message.listener:
            link = RemoteLink(worker, message.listener, number)
            worker.accepted(number)
        else:
            self._opening_at.pop(number, None)
            opening = worker.opening.pop(number, None)
            if opening is None:
                return  # closed meanwhile
            link = opening
        if self._ended or (link.listener and link.listener not in self._shared):
            worker.send(m.Close(number, True))  # accepted while its listener was being given up
            return
        worker.links[number] = link
        self.links[number] = link
        said = message
        self.take(
            LinkOpened(number, said.listener, said.peer, said.peer_name, said.local, said.resumed)
        )

    def _closed(
        self,
        worker: Worker,
        number: int,
        reason: str,
        in_handshake: bool = False,
        *,
        failed_here: bool = False,
    ) -> None:
        link = worker.links.pop(number, None)
        if link is not None:
            closing = number in self._closing
            Hand.link_lost(self, link)  # it had no descriptor of this process
            self.take(LinkClosed(number, "" if closing else reason, failed_here=failed_here))
        elif self._opening_at.pop(number, None) is not None:
            worker.opening.pop(number, None)
            self.take(
                LinkClosed(number, reason, in_handshake=in_handshake, failed_here=failed_here)
            )

    # --- the end --------------------------------------------------------------------------------

    def end(self, *, abort: bool) -> None:
        """Free the ports, open nothing more, and close all links: in order, or at once."""
        for handle in self._restarts:
            handle.cancel()
        self._pinging.end()
        self._opening_at.clear()
        super().end(abort=abort)
        for worker in self._alive():
            worker.opening.clear()
            worker.send(m.End(abort))

    async def close(self, patience_s: float) -> None:
        """Wait until all links are gone; those that are not after `patience_s` are cut off."""
        with contextlib.suppress(TimeoutError):
            # A worker that hangs may not answer even an abort.
            async with asyncio.timeout(patience_s + END_PATIENCE_S):
                await super().close(patience_s)
        workers = self._alive()
        self.workers.clear()
        for worker in workers:
            worker.close()
        for worker in workers:
            await self.loop.run_in_executor(None, worker.reap, END_PATIENCE_S)
