"""A broker node alone: a node and a coordinator in one machine, joined by an imagined link.

The node is the same as in a cluster and does not know; what it sends to its coordinator is handed
over within the step. Listens on "amqp" only. The catalog lives in the store as a coordinator's
does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from rabbitry.cluster.coordinator import Coordinator, CoordinatorSettings
from rabbitry.machine import (
    Address,
    Asked,
    BytesReceived,
    CancelTimer,
    CloseLink,
    Commit,
    Committed,
    Effect,
    Entropy,
    Event,
    LinkClosed,
    LinkOpened,
    ListenerOpened,
    OpenLink,
    SendBytes,
    SetTimer,
    Started,
    TimerFired,
)
from rabbitry.node import Node, NodeSettings

# The coordinator is this very process: it cannot be away, so there is no lease to run out.
_LEASE_US: Final = 1 << 60
_NOWHERE: Final = Address("", 0)
_TIMER_PREFIX: Final = "coordinator/"
_LINK: Final = 1  # the imagined link, as the coordinator numbers it


class StandaloneNode:
    """See the module."""

    def __init__(self, settings: NodeSettings, entropy: Entropy) -> None:
        own = replace(settings, coordinator=_NOWHERE)
        self._node = Node(own, entropy)
        self._coordinator = Coordinator(
            CoordinatorSettings(settings.secret, (settings.name,), _LEASE_US, alone=True), entropy
        )
        self._node_link = 0  # the imagined link, as the node numbers it

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event; see `rabbitry.machine`."""
        if type(event) is BytesReceived:
            effects = self._node.step(event, now)
            if len(effects) == 1 and type(effects[0]) is SendBytes and effects[0].link > 0:
                return effects  # the common case: nothing for the coordinator
            return self._settle(deque(), [(False, effects)], now)
        events: deque[tuple[bool, Event]] = deque()
        if isinstance(event, Started):
            events.append((True, event))
            events.append((False, Started()))
            events.append((False, ListenerOpened("cluster", _NOWHERE)))
        elif isinstance(event, TimerFired) and event.timer.startswith(_TIMER_PREFIX):
            events.append((True, TimerFired(event.timer[len(_TIMER_PREFIX) :])))
        elif isinstance(event, Committed) or (
            isinstance(event, Asked)
            and (event.question == "status" or isinstance(event.question, tuple))
        ):
            events.append((True, event))
        else:
            events.append((False, event))
        return self._settle(events, [], now)

    def _settle(
        self,
        events: deque[tuple[bool, Event]],
        emitted: list[tuple[bool, list[Effect]]],
        now: int,
    ) -> list[Effect]:
        """Step both until neither has anything for the other; return what is for the driver."""
        out: list[Effect] = []
        while events or emitted:
            if emitted:
                of_coordinator, effects = emitted.pop(0)
                for effect in effects:
                    self._route(of_coordinator, effect, events, out)
            else:
                to_coordinator, event = events.popleft()
                machine = self._coordinator if to_coordinator else self._node
                emitted.append((to_coordinator, machine.step(event, now)))
        return _joined(out)

    def _route(
        self,
        of_coordinator: bool,
        effect: Effect,
        events: deque[tuple[bool, Event]],
        out: list[Effect],
    ) -> None:
        """Hand an effect to the other machine where it is for that, else to the driver."""
        if of_coordinator:
            if isinstance(effect, SendBytes):
                events.append((False, BytesReceived(self._node_link, effect.data)))
            elif isinstance(effect, CloseLink):
                events.append((False, LinkClosed(self._node_link, "")))
                events.append((True, LinkClosed(_LINK, "")))
            elif isinstance(effect, SetTimer):
                out.append(SetTimer(_TIMER_PREFIX + effect.timer, effect.at))
            elif isinstance(effect, CancelTimer):
                out.append(CancelTimer(_TIMER_PREFIX + effect.timer))
            else:
                out.append(effect)
        elif isinstance(effect, OpenLink):
            self._node_link = effect.link
            events.append((True, LinkOpened(_LINK, "cluster", _NOWHERE)))
            events.append((False, LinkOpened(effect.link, "", _NOWHERE)))
        elif isinstance(effect, SendBytes) and effect.link == self._node_link:
            events.append((True, BytesReceived(_LINK, effect.data)))
        elif isinstance(effect, CloseLink) and effect.link == self._node_link:
            events.append((True, LinkClosed(_LINK, "")))
            events.append((False, LinkClosed(effect.link, "")))
        else:
            out.append(effect)


def _joined(effects: list[Effect]) -> list[Effect]:
    """Join what goes to one link, and into the store: the driver is promised one of each."""
    sends: dict[int, SendBytes] = {}
    commit: Commit | None = None
    joined: list[Effect] = []
    for effect in effects:
        if isinstance(effect, SendBytes):
            earlier = sends.get(effect.link)
            if earlier is not None:
                earlier.data += effect.data
                continue
            sends[effect.link] = effect
        elif isinstance(effect, Commit):
            if commit is not None:
                # `Committed` with the later number stands for both: commits are answered in order.
                commit.commit = effect.commit
                commit.writes = commit.writes + effect.writes
                continue
            commit = effect
        joined.append(effect)
    return joined
