"""Tests of one run of a balancer's world: what a seed stands for."""

from __future__ import annotations

import pytest

from rabbitry.simulation.balancer_world import KINDS, BalancerWorld
from rabbitry.simulation.world import SeedFailed


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_kinds_take_turns(number: int) -> None:
    assert BalancerWorld(number).kind == KINDS[number]


def test_a_seed_is_a_configuration_clients_and_servers() -> None:
    one, again, other = BalancerWorld(4), BalancerWorld(4), BalancerWorld(8)
    assert one.configuration == again.configuration != other.configuration
    assert one.clients.plans == again.clients.plans != other.clients.plans
    assert len(one.servers) == len(one.configuration.backends[0].servers)


def test_in_a_gentle_run_nobody_comes_to_harm() -> None:
    run = BalancerWorld(1).run()
    assert set(run.states) == {"--"}
    assert set(run.acts) <= {"drain", "make_ready", "set_weight", "reload"}


def test_in_an_even_run_nothing_happens_but_sessions() -> None:
    run = BalancerWorld(3).run()
    assert (run.kind, run.acts) == ("even", {})


def test_shares_that_are_not_by_weight_fail_a_run() -> None:
    world = BalancerWorld(3)
    servers = world.watched.balancer.proxies.backends[0].servers
    world.world.run_until(9_000_000)
    servers[0].counters.sessions_total += 10
    with pytest.raises(SeedFailed, match="sessions, not"):
        world.run()
