"""The simulated network: links between hosts, and what can go wrong with them.

Owns listeners, links and the state of each host's network stack; a host's process is reached only
through the function it gave to `boot`. What a machine hears of a link is what `rabbitry.machine`
promises: `LinkOpened` first, bytes in order, `LinkClosed` exactly once and last. As with TCP, a
peer cannot tell an orderly close from a half-close (both are `LinkFinished`), writing to an end
that is gone is answered with a reset, a frozen host still accepts links and fills its buffers, and
a host that dies without a word leaves its peers waiting.

Invariants: an end whose `LinkClosed` is on its way hears nothing else; a dead stack hears nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from rabbitry.machine import (
    Address,
    Event,
    LinkClosed,
    LinkFinished,
    LinkOpened,
    LinksMeasured,
    PauseListening,
    WritingPaused,
    WritingResumed,
)
from rabbitry.simulation.ends import (
    LINGER_US,
    RESET,
    ContractBreach,
    End,
    Stack,
)
from rabbitry.simulation.pipe import HIGH_WATER_BYTES, LinkWeather, Pipe
from rabbitry.simulation.schedule import Schedule

REFUSED = "connection refused"
TIMED_OUT = "connection timed out"

_CONNECT_RETRY_US = 50_000
_FIRST_EPHEMERAL_PORT = 40_000


class Network:
    """All links of a run. `weather` is how they behave apart from faults."""

    def __init__(self, schedule: Schedule, weather: LinkWeather) -> None:
        self.schedule = schedule
        self.weather = weather
        self.random: Random = schedule.random("network")
        self.stacks: dict[str, Stack] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._links: dict[int, tuple[End, End]] = {}
        self._links_count = 0
        self._next_port = _FIRST_EPHEMERAL_PORT

    # --- hosts -----------------------------------------------------------------------------------

    def boot(
        self, host: str, listeners: Mapping[int, str], deliver: Callable[[Event], None]
    ) -> Stack:
        """Start the network stack of a new incarnation of `host`, listening on the given ports."""
        stack = Stack(host, listeners, deliver)
        self.stacks[host] = stack
        for one, other in self._links.values():
            # Peers of an earlier incarnation that still send to it are refused from now on.
            for end in (one, other):
                if end.stack.host == host:
                    end.incoming.wake()
        return stack

    def crash(self, stack: Stack, *, silent: bool = False) -> None:
        """End a process: its links break off, or (`silent`) its peers are told nothing at all."""
        stack.up = False
        stack.silent = silent
        stack.frozen = False
        for end in list(stack.ends.values()):
            end.gone = True
            if not end.opened:
                continue
            if silent:
                # What was on the wire arrives, up to some byte; then nothing, not even an end.
                end.outgoing.cut_short()
            elif self.random.random() < 0.5:
                end.outgoing.finish()
            else:
                end.outgoing.break_off(RESET)
            end.incoming.wake()
            self.forget_if_over(end)
        stack.ends.clear()

    def freeze(self, stack: Stack) -> None:
        """Stop delivery to a host; its kernel still takes links and bytes."""
        stack.frozen = True

    def thaw(self, stack: Stack) -> None:
        """Deliver again, what has waited first."""
        stack.frozen = False
        for end in list(stack.ends.values()):
            end.incoming.wake()

    # --- the effects of machines -----------------------------------------------------------------

    def open(self, stack: Stack, link: int, address: Address) -> None:
        """Carry out `OpenLink`. Raises ContractBreach for a number that is not new and negative."""
        if link >= 0 or link in stack.opened_links:
            raise ContractBreach(f"{stack.host} opens link {link}: not a new negative number")
        stack.opened_links.add(link)
        end = End(self, stack, link)
        stack.ends[link] = end
        weather = self.weather
        spread = self.random.random()
        latency = int(
            weather.latency_us_min * (weather.latency_us_max / weather.latency_us_min) ** spread
        )
        end.outgoing = Pipe(self.schedule, self.random, weather, latency)
        end.incoming = Pipe(self.schedule, self.random, weather, latency)
        end.outgoing.sender = end.incoming.receiver = end
        give_up_at = self.schedule.now + weather.connect_timeout_us
        delay = latency * 2
        if self.random.random() < weather.spike_probability:
            delay += self.random.randint(0, weather.spike_us)
        self.schedule.at(self.schedule.now + delay, self._connect, end, address, give_up_at)

    def send(self, stack: Stack, link: int, data: bytes) -> None:
        """Carry out `SendBytes`. Raises ContractBreach before the link opened or after a finish."""
        end = stack.ends.get(link) or stack.find(link)
        if end is None or end.closing:
            return
        if not end.opened or end.finish_sent:
            state = "has not opened yet" if not end.opened else "was finished by it"
            raise ContractBreach(f"{stack.host} sends on link {link}, which {state}")
        if end.outgoing.ended:
            end.refused()  # broken off; writing to it is one of the two ways to learn that
            return
        end.outgoing.send(data)
        if not end.writing_paused and end.outgoing.waiting_bytes > HIGH_WATER_BYTES:
            end.writing_paused = True
            self.soon(end, WritingPaused(link))

    def finish(self, stack: Stack, link: int) -> None:
        """Carry out `FinishLink`."""
        end = stack.find(link)
        if end is not None and not end.closing and not end.finish_sent:
            if not end.opened:
                raise ContractBreach(f"{stack.host} finishes link {link}, which has not opened yet")
            end.finish_sent = True
            end.outgoing.finish()
            end.close_if_finished()

    def close(self, stack: Stack, link: int, abort: bool) -> None:
        """Carry out `CloseLink`; `LinkClosed` follows when the peer closes too, or in the end."""
        end = stack.find(link)
        if end is None:
            return
        if not end.opened:
            end.close_now("")
        elif abort:
            end.outgoing.break_off(RESET)
            end.close_now("")
        elif not end.closing:
            end.closing = True
            end.outgoing.finish()
            end.incoming.wake()
            self.schedule.at(self.schedule.now + LINGER_US, self._lose_patience, end)
            end.drained()

    def pause_reading(self, stack: Stack, link: int) -> None:
        """Carry out `PauseReading`."""
        end = stack.find(link)
        if end is not None:
            end.reading_paused = True

    def resume_reading(self, stack: Stack, link: int) -> None:
        """Carry out `ResumeReading`."""
        end = stack.find(link)
        if end is not None:
            end.reading_paused = False
            if end.opened:
                end.incoming.wake()

    def join(self, stack: Stack, first: int, second: int) -> None:
        """Carry out `JoinLinks`. Raises ContractBreach for a link not open, or joined before."""
        ends = [stack.find(first), stack.find(second)]
        for end in ends:
            if end is not None and (not end.opened or end.partner is not None):
                state = "joined already" if end.opened else "not open yet"
                raise ContractBreach(f"{stack.host} joins link {end.link}, which is {state}")
        one, other = ends
        if one is None or other is None:
            for end in ends:
                if end is not None:
                    end.reading_paused = True
            return
        for end, partner in ((one, other), (other, one)):
            end.partner = partner
            end.reading_paused = False
            end.active_at = self.schedule.now
            end.incoming.wake()

    def measure(self, stack: Stack, links: list[int], number: int = 0) -> None:
        """Carry out `MeasureLinks`."""
        schedule = self.schedule
        schedule.at(schedule.now, self._deliver_measures, stack, links[:], number)

    def _deliver_measures(self, stack: Stack, links: list[int], number: int) -> None:
        if stack.up:
            ends = [stack.ends.get(link) for link in links] if links else stack.ends.values()
            joined = [end for end in ends if end is not None and end.partner is not None]
            stack.deliver(LinksMeasured([end.measure() for end in joined], number))

    def pause_listening(self, stack: Stack, effect: PauseListening) -> None:
        """Carry out `PauseListening`."""
        stack.paused_listeners[effect.listener] = effect.refuse

    def resume_listening(self, stack: Stack, listener: str) -> None:
        """Carry out `ResumeListening`."""
        stack.paused_listeners.pop(listener, None)

    def stop_listening(self, stack: Stack, listener: str) -> None:
        """Carry out `StopListening`."""
        stack.listeners = {port: each for port, each in stack.listeners.items() if each != listener}

    # --- faults ----------------------------------------------------------------------------------

    def cut(self, source: str, destination: str) -> None:
        """Let nothing from `source` reach `destination`; the other way stays as it is."""
        self._cuts[(source, destination)] = None

    def heal(self, source: str, destination: str) -> None:
        """Undo `cut`; what has waited arrives."""
        self._cuts.pop((source, destination), None)
        for one, other in self._links.values():
            for end in (one, other):
                if end.stack.host == destination:
                    end.incoming.wake()

    def heal_all(self) -> None:
        """Undo every cut."""
        for source, destination in list(self._cuts):
            self.heal(source, destination)

    def is_cut(self, source: str, destination: str) -> bool:
        """Tell whether nothing gets from `source` to `destination`."""
        return bool(self._cuts) and (source, destination) in self._cuts

    def links(self) -> list[int]:
        """Return the numbers of the links that are open now, oldest first."""
        return list(self._links)

    def ends_of(self, number: int) -> tuple[str, str]:
        """Return the two hosts of a link, the one that opened it first."""
        one, other = self._links[number]
        return one.stack.host, other.stack.host

    def reset(self, number: int) -> None:
        """Break a link off at both ends, in the middle of whatever is under way."""
        for end in self._links[number]:
            end.incoming.break_off(RESET)

    def stall(self, number: int, duration_us: int) -> None:
        """Let nothing move on a link for a while, in both directions."""
        for end in self._links[number]:
            end.incoming.stall(self.schedule.now + duration_us)

    # --- within ----------------------------------------------------------------------------------

    def soon(self, end: End, event: Event) -> None:
        """Deliver an event about this end within this instant, after the step that caused it."""
        self.schedule.at(self.schedule.now, self._deliver, end, event)

    def _deliver(self, end: End, event: Event) -> None:
        if end.stack.up and (not end.gone or isinstance(event, LinkClosed)):
            if end.partner is not None and isinstance(event, WritingPaused | WritingResumed):
                return  # joined since
            self.deliver(end, event)

    @staticmethod
    def deliver(end: End, event: Event) -> None:
        """Deliver an event about this end; the ends of joined links behind their measures."""
        if end.partner is not None and isinstance(event, LinkFinished | LinkClosed):
            end.stack.deliver(LinksMeasured([end.measure(), end.partner.measure()]))
        if end.stack.up:
            end.stack.deliver(event)

    def forget_if_over(self, end: End) -> None:
        """Strike a link off the list once both its ends are gone."""
        if end.peer is not None and end.peer.gone:
            self._links.pop(end.number, None)

    def _lose_patience(self, end: End) -> None:
        if end.stack.up and not end.gone:
            end.outgoing.break_off(RESET)
            end.close_now("")

    def _connect(self, end: End, address: Address, give_up_at: int) -> None:
        """Try to reach the listener; a path that is cut or a host that is off is tried again."""
        if end.gone or not end.stack.up:
            return
        source, destination = end.stack.host, address.host
        stack = self.stacks.get(destination)
        off = stack is not None and stack.silent
        if off or self.is_cut(source, destination) or self.is_cut(destination, source):
            retry_at = self.schedule.now + _CONNECT_RETRY_US
            if retry_at >= give_up_at:
                end.close_now(TIMED_OUT)
            else:
                self.schedule.at(retry_at, self._connect, end, address, give_up_at)
            return
        if stack is None or not stack.up or address.port not in stack.listeners:
            end.close_now(REFUSED)
            return
        listener = stack.listeners[address.port]
        if stack.paused_listeners.get(listener, False):
            end.close_now(REFUSED)
            return
        if listener in stack.paused_listeners:  # the backlog has room for all
            retry_at = self.schedule.now + _CONNECT_RETRY_US
            self.schedule.at(retry_at, self._connect, end, address, give_up_at)
            return
        self._accept(end, stack, address)

    def _accept(self, end: End, stack: Stack, address: Address) -> None:
        stack.accepted_count += 1
        other = End(self, stack, stack.accepted_count)
        stack.ends[other.link] = other
        other.incoming, other.outgoing = end.outgoing, end.incoming
        other.outgoing.sender = other.incoming.receiver = other
        end.peer, other.peer = other, end
        end.opened = other.opened = True
        self._links_count += 1
        self._links[self._links_count] = (end, other)
        end.number = other.number = self._links_count
        self._next_port += 1
        listener = stack.listeners[address.port]
        peer = Address(end.stack.host, self._next_port)
        # Which side hears first is chance: both orders are seen in life.
        tell = [
            (other, LinkOpened(other.link, listener, peer, local=address)),
            (end, LinkOpened(end.link, "", address)),
        ]
        if self.random.random() < 0.5:
            tell.reverse()
        for whom, event in tell:
            self.soon(whom, event)
