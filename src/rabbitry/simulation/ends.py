"""One host's end of a simulated link, and the network stack that has it.

Owns what an end remembers and what its two pipes ask and tell it: what is delivered to the machine,
or sent on over the partner that it is joined with. What machines want of links is `network`'s.

Invariants: an end whose `LinkClosed` is on its way hears nothing else; the machine hears of a
joined end only its measures, its finish and its close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rabbitry.machine import (
    BytesReceived,
    Event,
    LinkClosed,
    LinkFinished,
    Measure,
    WritingResumed,
)
from rabbitry.simulation.pipe import (
    HIGH_WATER_BYTES,
    LOW_WATER_BYTES,
    Mark,
    Pipe,
)

if TYPE_CHECKING:
    from rabbitry.simulation.network import Network

RESET = "connection reset by peer"

# As rabbitry.runtime does it: an orderly close lets the peer take what was sent, not for ever.
LINGER_US = 3_000_000


class ContractBreach(Exception):
    """A machine did with a link what the contract of `rabbitry.machine` does not allow."""


class End:
    """One host's end of a link."""

    def __init__(self, network: Network, stack: Stack, link: int) -> None:
        self.network = network
        self.stack = stack
        self.link = link
        self.number = 0
        self.opened = False
        self.gone = False
        self.closing = False
        self.finish_sent = False
        self.finish_received = False
        self.reading_paused = False
        self.writing_paused = False
        self.refusal_known = False
        self.partner: End | None = None  # whom this end is joined with
        self.received_bytes = 0  # since then
        self.active_at = 0
        self.peer: End | None = None
        self.outgoing: Pipe
        self.incoming: Pipe

    # --- what the incoming pipe asks and tells ---------------------------------------------------

    def obstacle(self) -> bool:
        """Tell whether bytes must wait: nobody reads, the host is off, or the path is cut."""
        stack = self.stack
        if not stack.up:
            if stack.silent and self.network.stacks[stack.host] is stack:
                return True  # nobody there even to refuse
        elif not self.gone and (stack.frozen or (self._must_wait() and not self.closing)):
            return True
        peer = self.peer
        assert peer is not None  # bytes are sent only over links that have opened
        return self.network.is_cut(peer.stack.host, stack.host)

    def _must_wait(self) -> bool:
        """Tell whether the machine, or the partner that takes no more, wants nothing read."""
        partner = self.partner
        return self.reading_paused if partner is None else partner.writing_paused

    def take_bytes(self, data: bytes) -> bool:
        """Deliver bytes to the machine; False if this end is gone."""
        if self.gone or not self.stack.up:
            return False
        if self.closing:  # it reads on and drops, so that no reset is provoked
            return True
        if self.partner is None:
            self.stack.deliver(BytesReceived(self.link, data))
        else:
            self.received_bytes += len(data)
            self.active_at = self.network.schedule.now
            self.partner.send_on(data)
        return True

    def send_on(self, data: bytes) -> None:
        """Send what the partner brought; what cannot be sent any more is dropped."""
        if self.gone or self.closing or self.finish_sent:
            return
        if self.outgoing.ended:
            self.refused()
            return
        self.outgoing.send(data)
        self.active_at = self.network.schedule.now
        if self.outgoing.waiting_bytes > HIGH_WATER_BYTES:
            self.writing_paused = True

    def measure(self) -> Measure:
        """Tell what this end has done since it was joined."""
        waiting = max(self.outgoing.waiting_bytes - LOW_WATER_BYTES, 0)
        return Measure(self.link, self.received_bytes, self.active_at, waiting)

    def take_mark(self, mark: Mark, reason: str) -> None:
        """Deliver a finish as `LinkFinished`, a break as `LinkClosed`."""
        if self.gone or not self.stack.up:
            return
        if mark is Mark.BREAK:
            self.close_now(reason)
            return
        self.finish_received = True
        if self.closing:
            self.drained()
        else:
            self.network.deliver(self, LinkFinished(self.link))
            self.close_if_finished()

    # --- what the outgoing pipe tells ------------------------------------------------------------

    def drained(self) -> None:
        """Resume a paused writer below the low-water mark; let a lingering close end."""
        if self.gone:
            return
        self.active_at = self.network.schedule.now
        if self.writing_paused and self.outgoing.waiting_bytes <= LOW_WATER_BYTES:
            self.writing_paused = False
            if self.partner is None:
                self.network.soon(self, WritingResumed(self.link))
            elif not self.partner.gone:
                self.partner.incoming.wake()
        handed_over = self.outgoing.waiting_bytes <= HIGH_WATER_BYTES
        if self.closing and self.finish_received and handed_over:
            self.close_now("")

    def refused(self) -> None:
        """Hear a moment later that the other end is gone, even while nothing is read."""
        if not self.refusal_known:
            self.refusal_known = True
            schedule = self.network.schedule
            schedule.at(schedule.now + self.outgoing.base_latency_us, self._reset_arrives)

    def _reset_arrives(self) -> None:
        if not self.gone and self.stack.up:
            if self.reading_paused:
                self.close_now(RESET)
            else:
                self.incoming.break_off(RESET)

    # --- the end of the end ----------------------------------------------------------------------

    def close_if_finished(self) -> None:
        """Close once both sides have finished: nothing can come over this link any more."""
        if self.finish_sent and self.finish_received and not self.gone:
            self.closing = True
            self.drained()

    def close_now(self, reason: str) -> None:
        """Forget this end and tell its machine, once."""
        if self.gone:
            return
        self.gone = True
        self.writing_paused = False
        del self.stack.ends[self.link]
        self.incoming.wake()  # what still comes is refused, however long it had to wait
        if self.partner is not None and not self.partner.gone:
            self.partner.incoming.wake()
        self.network.soon(self, LinkClosed(self.link, reason))
        self.network.forget_if_over(self)


class Stack:
    """The network stack of one incarnation of a host."""

    def __init__(
        self, host: str, listeners: Mapping[int, str], deliver: Callable[[Event], None]
    ) -> None:
        self.host = host
        self.listeners = dict(listeners)
        self.deliver = deliver
        self.up = True
        self.silent = False
        self.frozen = False
        self.paused_listeners: dict[str, bool] = {}  # whether they refuse
        self.ends: dict[int, End] = {}
        self.opened_links: set[int] = set()
        self.accepted_count = 0

    def find(self, link: int) -> End | None:
        """Return this end, None if it is gone. Raises ContractBreach if it never was."""
        end = self.ends.get(link)
        if end is None and link not in self.opened_links and not 0 < link <= self.accepted_count:
            raise ContractBreach(f"{self.host} uses link {link}, which never was")
        return end
