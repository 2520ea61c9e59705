"""A run whose nodes are restarted one after another, in order, as `rabbitry restart --all` does it.

Nobody dies or is cut off; links are held up and stores are slow. So more is promised than where
nodes die: what a consumer has acknowledged, over a connection that lived, never comes again
(`checkers.check_settled_for_good`). Each node in turn is waited for until its queues are whole on
another, hands over (in some runs it does not), is told to end, starts again, and is whole. In half
of the runs it is asked again and again, whatever else goes on, to even out who leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rabbitry.cluster.records import DeclareQueue
from rabbitry.simulation.cluster import BEGIN_AT, Cluster, ClusterFactories
from rabbitry.simulation.faults import FaultPlan, draw_durable_plan
from rabbitry.simulation.supervisor import SimulatedSupervisor
from rabbitry.simulation.workload import ConsumerSettings

ROLLING_KINDS: Final = ("stall", "slow_store")

_LOOK_US: Final = 20_000
_FIRST_QUESTION: Final = 1_000_000  # the supervisor's and the faults' are others
_FIRST_REBALANCE: Final = 2_000_000


class RollingCluster(Cluster):
    """One run under one seed. `restarted` names the nodes that were, in order."""

    heal_at = 6_000_000
    final_at = heal_at + 10_000
    persistent_probability = 0.75

    def __init__(
        self,
        seed: int,
        factories: ClusterFactories,
        *,
        kinds: Sequence[str] = ROLLING_KINDS,
        keep_trace: bool = False,
        events_max: int = 600_000,
    ) -> None:
        super().__init__(seed, factories, kinds=kinds, keep_trace=keep_trace, events_max=events_max)
        self.restarted: list[str] = []
        self.history.orderly = True
        self._random = self.world.schedule.random("rolling")
        self._hands_over = self._random.random() < 0.75
        self._left = list(self._names)
        self._random.shuffle(self._left)
        self._question = _FIRST_QUESTION
        self._rebalances = self.world.schedule.random("rebalances")
        self._rebalance = _FIRST_REBALANCE
        self.supervisor = SimulatedSupervisor(
            self.world,
            factories.coordinator_name,
            self._names,
            self.world.schedule.random("supervisor"),
        )
        self.world.answer_observers.append(self._answered)

    def draw_plan(self, kinds: Sequence[str]) -> FaultPlan:
        """Draw how much links and stores are held up."""
        plan = draw_durable_plan(self._draw, BEGIN_AT, self.heal_at, kinds)
        # A store that is slower than a node waits at its end is a fault.
        return replace(plan, slow_commit_us_max=min(plan.slow_commit_us_max, 50_000))

    def draw_consumer(self) -> ConsumerSettings:
        """Draw how a consumer works; it does not vanish."""
        return replace(super().draw_consumer(), vanish_probability=0.0)

    def begin(self) -> None:
        """Restart nodes from now on."""
        self.world.schedule.at(BEGIN_AT, self._look)
        if self._rebalances.random() < 0.5:
            self.world.schedule.at(BEGIN_AT, self._begin_to_rebalance)

    def _begin_to_rebalance(self) -> None:
        # Ballast: the one or two queues that clients use are as good as even wherever they are.
        ballast = [DeclareQueue("/", f"ballast{n}", True, False, "", b"") for n in range(2)]
        self._ask(("change", ballast))
        self._ask_to_rebalance()

    def _ask(self, question: tuple[str, object]) -> None:
        self.world.note("faults", f"asks to {question[0]}")
        self._rebalance += 1
        self.world.ask(self.factories.coordinator_name, self._rebalance, question)

    def _ask_to_rebalance(self) -> None:
        question: tuple[str, object] = ("rebalance", ())
        if self._rebalances.random() < 0.5:
            # Else there would be little to even out.
            question = ("hand over", self._rebalances.choice(self._names))
        self._ask(question)
        at = self.world.now + self._rebalances.randint(10_000, 400_000)
        if at < self.heal_at:
            self.world.schedule.at(at, self._ask_to_rebalance)

    # --- one after another -----------------------------------------------------------------------

    def _look(self) -> None:
        """Restart the next node, if all is whole without it; else look again."""
        if not self._left:
            return
        if not self._whole():
            self.world.schedule.at(self.world.now + _LOOK_US, self._look)
            return
        self._question += 1
        name = self._left[0]
        if self._hands_over:
            self.world.note(name, "is to hand over")
            question = ("hand over", name)
            self.world.ask(self.factories.coordinator_name, self._question, question)
        else:
            self._end()

    def _whole(self) -> bool:
        """Whether every node has everything of every queue."""
        given = self.given()
        names = sorted(self._names)
        return bool(given) and all(sorted(one["in_sync"]) == names for one in given.values())

    def _end(self) -> None:
        self._question += 1
        self.world.note(self._left[0], "is told to end")
        self.world.ask(self._left[0], self._question, "shutdown")

    def _answered(self, host: str, number: int) -> None:
        if number != self._question or not self._left:
            return
        name = self._left[0]
        if host != name:
            delay_us = self._random.randint(0, 100_000)
            self.world.schedule.at(self.world.now + delay_us, self._end)
            return
        self._left.pop(0)
        self.restarted.append(name)
        self.world.crash(name)
        self.world.schedule.at(
            self.world.now + self._random.randint(5_000, 300_000), self.world.start, name
        )
        self.world.schedule.at(self.world.now + 400_000, self._look)

    def _settled(self) -> bool:
        return not self._left and self._whole() and super()._settled()

    def _unsettled(self) -> list[str]:
        return [*super()._unsettled(), *(f"{name} was not restarted" for name in self._left)]
