"""One more process of a balancer: it accepts, connects and passes bytes as the first one tells it.

Owns the worker's side of `hand_messages`: its own hand carries out what is wanted, and what happens
goes up. Decides nothing; knows no configuration but that of its listeners.

What was told of a link that is not joined yet is kept until it is: the first process may have
wanted the join before it heard of these bytes, and then they belong to the other link. It says how
many it had seen, so none is lost or sent twice.

A worker whose first process is gone ends at once, with all its links.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from rabbitry.machine import (
    BytesReceived,
    CloseLink,
    Event,
    FinishLink,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinksMeasured,
    MeasureLinks,
    OpenLink,
    PauseListening,
    PauseReading,
    ResumeListening,
    ResumeReading,
    WritingPaused,
    WritingResumed,
)
from rabbitry.runtime import hand_messages as m
from rabbitry.runtime.crew import ACCEPTS_PER_TURN_MAX
from rabbitry.runtime.garbage import tune_garbage_collection
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.loop import run
from rabbitry.runtime.privileges import Identity, PrivilegesFailed
from rabbitry.runtime.processes import raise_open_files_limit
from rabbitry.runtime.tls import Tls, TlsFailed, settings_of
from rabbitry.runtime.worker_channel import Channel

TOLD_BYTES_MAX = 4 * 1024 * 1024
"""What is kept of a link that is not joined: more than is ever on its way to the first process."""


class Told:
    """What was told of a link: the last of it, and how much there was before."""

    __slots__ = ("before_bytes", "data")

    def __init__(self) -> None:
        self.before_bytes = 0
        self.data = b""

    def add(self, data: bytes) -> None:
        """Keep what is told now."""
        self.data += data
        if len(self.data) > TOLD_BYTES_MAX:
            dropped = len(self.data) // 2
            self.before_bytes += dropped
            self.data = self.data[dropped:]

    def beyond(self, seen_bytes: int) -> bytes:
        """Return what was told after so many bytes."""
        return self.data[max(seen_bytes - self.before_bytes, 0) :]


class Worker:
    """A hand, and the channel to whom it belongs. `first_link` and `step` number accepted links."""

    def __init__(self, sock: socket.socket, first_link: int, step: int) -> None:
        loop = asyncio.get_running_loop()
        self.ended = loop.create_future()
        self._channel = Channel(loop, sock, m.wanted_decoder, self._carry_out, self._orphaned)
        self._hand = JoiningHand(first_link, step)
        self._hand.accepts_per_turn_max = ACCEPTS_PER_TURN_MAX
        self._hand.serve(self._take, self._tell)
        self._acts = self._all_acts()
        self._told: dict[int, Told] = {}  # of links that are not joined

    def _orphaned(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    async def close(self) -> None:
        """Close everything."""
        self._channel.close()
        self._hand.end(abort=True)
        await self._hand.close(0)

    # --- up -------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        send = self._channel.send
        match event:
            case LinkOpened(link, listener, peer, peer_name, local, resumed):
                self._told[link] = Told()
                send(m.Opened(link, listener, peer, peer_name, local, resumed))
            case BytesReceived(link, data):
                self._told[link].add(data)
                send(m.Received(link, data))
            case LinkFinished(link, measures):
                if measures:
                    send(m.Measured(list(measures), 0))
                send(m.Finished(link))
            case LinkClosed(link, reason, measures, in_handshake, _, data):
                if data:
                    send(m.Received(link, data))
                if measures:
                    send(m.Measured(list(measures), 0))
                self._told.pop(link, None)
                send(m.Closed(link, reason, in_handshake))
            case WritingPaused(link):
                send(m.WritingPaces(link, True))
            case WritingResumed(link):
                send(m.WritingPaces(link, False))
            case LinksMeasured(measures, number):
                send(m.Measured(measures, number))

    def _tell(self, level: str, what: str, details: dict[str, object]) -> None:
        said = {name: str(value) for name, value in details.items()}
        self._channel.send(m.Told(level, what, dict(said)))

    # --- down -----------------------------------------------------------------------------------

    def _carry_out(self, wanted: Any) -> None:
        self._acts[type(wanted)](wanted)

    def _all_acts(self) -> dict[type[m.Message], Callable[[Any], None]]:
        hand = self._hand
        return {
            m.Send: self._send,
            m.Join: self._join,
            m.Open: lambda w: hand.open_link(OpenLink(w.link, w.address, w.options)),
            m.Finish: lambda w: hand.finish_link(FinishLink(w.link)),
            m.Close: lambda w: hand.close_link(CloseLink(w.link, w.abort)),
            m.PauseLink: lambda w: hand.pause_reading(PauseReading(w.link)),
            m.ResumeLink: lambda w: hand.resume_reading(ResumeReading(w.link)),
            m.MeasureThem: lambda w: hand.measure_links(MeasureLinks(w.links, w.number)),
            m.Listen: self._listen,
            m.StopListening: lambda w: hand.stop_listening(w.listener),
            m.Pause: lambda w: hand.pause_listening(PauseListening(w.listener)),
            m.Resume: lambda w: hand.resume_listening(ResumeListening(w.listener)),
            m.End: lambda w: hand.end(abort=w.abort),
            m.Ping: lambda _: self._channel.send(m.Alive()),
            m.Become: self._become,
            m.Renew: self._renew,
        }

    def _send(self, wanted: m.Send) -> None:
        link = self._hand.links.get(wanted.link)
        if link is not None:
            link.write(wanted.data)

    def _join(self, wanted: m.Join) -> None:
        first = self._told.pop(wanted.first, None) or Told()
        second = self._told.pop(wanted.second, None) or Told()
        late = first.beyond(wanted.first_seen), second.beyond(wanted.second_seen)
        self._hand.join(wanted.first, wanted.second, *late)

    def _listen(self, wanted: m.Listen) -> None:
        sock = socket.socket(fileno=self._channel.take_file())
        sock.setblocking(False)
        tls = None
        if wanted.tls is not None:
            try:
                tls = Tls(settings_of(wanted.tls), self._tell)
            except TlsFailed as failure:  # as who we are now we may not read them
                sock.close()
                details: dict[str, object] = {"listener": wanted.listener, "reason": failure}
                self._tell("error", "a worker process leaves a listener to the others", details)
                return
        options, accepting = wanted.options, wanted.accepting
        self._hand.listen_on(wanted.listener, sock, tls, options, accepting=accepting)

    def _renew(self, _: m.Renew) -> None:
        self._hand.renew_certificates_here()
        self._channel.send(m.Renewed())

    def _become(self, wanted: m.Become) -> None:
        try:
            Identity(wanted.uid, wanted.gid, wanted.name).become()
        except PrivilegesFailed as failure:
            self._channel.send(m.Became(str(failure)))
            self._orphaned()  # what follows is not carried out as somebody else
        else:
            self._channel.send(m.Became(""))


async def work(fd: int, first_link: int, step: int) -> None:
    """Work until the other end of this socket is gone."""
    worker = Worker(socket.socket(fileno=fd), first_link, step)
    await worker.ended
    await worker.close()


def main(arguments: list[str]) -> int:
    """Run a worker: the descriptor of its channel, its first link's number, and the step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends us, in order
    raise_open_files_limit()
    fd, first_link, step = map(int, arguments)
    os.set_inheritable(fd, False)
    tune_garbage_collection()
    run(work(fd, first_link, step))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
