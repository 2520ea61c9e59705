"""A broker node alone: a node and a coordinator in one machine, joined by an imagined link.

The node is the same as in a cluster and does not know; what it sends to its coordinator is handed
over within the step. Listens on "amqp" only. The catalog lives in the store as a coordinator's
does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
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
    CommitFailed,
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
        self._step_commit = 0  # the number of what this step commits
        # What is under way: its number, whose it is, and the number that that one gave it.
        self._commits: deque[tuple[int, bool, int]] = deque()

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event; see `rabbitry.machine`."""
        self._step_commit += 1
        if type(event) is BytesReceived:
            effects = self._node.step(event, now)
            if len(effects) == 1 and type(effects[0]) is SendBytes and effects[0].link > 0:
                return effects  # the common case: nothing for the coordinator
            return self._settle(deque(), [(False, effects)], now)
        events: deque[tuple[bool, Event]] = deque()
        if isinstance(event, Started):
            of_coordinator, of_node = _shared(event)
            events.append((True, of_coordinator))
            events.append((False, of_node))
            events.append((False, ListenerOpened("cluster", _NOWHERE)))
        elif isinstance(event, TimerFired) and event.timer.startswith(_TIMER_PREFIX):
            events.append((True, TimerFired(event.timer[len(_TIMER_PREFIX) :])))
        elif isinstance(event, Committed):
            events += self._committed(event.commit)
        elif isinstance(event, CommitFailed):
            events += self._commit_failed(event)
        elif isinstance(event, Asked) and (
            event.question in ("status", "definitions") or isinstance(event.question, tuple)
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
        return self._joined(out)

    def _numbered(self, of_coordinator: bool, commit: Commit) -> Commit:
        """Give a commit its place among those of both. What one step commits has one number."""
        number = self._step_commit
        self._commits.append((number, of_coordinator, commit.commit))
        return Commit(number, commit.writes)

    def _committed(self, commit: int) -> Iterator[tuple[bool, Event]]:
        """Tell both what is durable of theirs."""
        while self._commits and self._commits[0][0] <= commit:
            _, of_coordinator, number = self._commits.popleft()
            yield of_coordinator, Committed(number)

    def _commit_failed(self, event: CommitFailed) -> Iterator[tuple[bool, Event]]:
        """Tell each the first of its commits that was not written, nor any after it."""
        told: list[bool] = []
        commits, self._commits = self._commits, deque()
        for number, of_coordinator, own in commits:
            if number < event.commit:
                self._commits.append((number, of_coordinator, own))
            elif of_coordinator not in told:
                told.append(of_coordinator)
                yield of_coordinator, CommitFailed(own, event.reason)

    def _joined(self, effects: list[Effect]) -> list[Effect]:
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
                    commit.writes = commit.writes + effect.writes
                    continue
                commit = effect
            joined.append(effect)
        return joined

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
            elif isinstance(effect, Commit):
                out.append(self._numbered(True, effect))
            else:
                out.append(effect)
        elif isinstance(effect, Commit):
            out.append(self._numbered(False, effect))
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


def _shared(event: Started) -> tuple[Started, Started]:
    """Return what was kept by the coordinator, whose keys begin with a digit, and by the node."""
    catalog = [item for item in event.stored if item[0][:1].isdigit()]
    own = [item for item in event.stored if not item[0][:1].isdigit()]
    damaged = [key for key in event.damaged if not key[:1].isdigit()]
    return Started(catalog), Started(own, event.bulk, damaged)
