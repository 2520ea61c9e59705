"""The algorithm that a `balance` line names."""

from __future__ import annotations

from rabbitry.balancer.algorithms.consistent import Random, SourceByRing
from rabbitry.balancer.algorithms.leastconn import First, LeastConn
from rabbitry.balancer.algorithms.maps import SourceByMap, StaticRoundRobin
from rabbitry.balancer.algorithms.pool import Algorithm, Member, Pool
from rabbitry.balancer.algorithms.roundrobin import RoundRobin
from rabbitry.balancer.configuration.model import Balance


def algorithm_named(balance: Balance, pool: Pool[Member]) -> Algorithm[Member]:
    """Return the algorithm of `balance` over `pool`."""
    match balance.algorithm:
        case "roundrobin":
            return RoundRobin(pool)
        case "static-rr":
            return StaticRoundRobin(pool)
        case "leastconn":
            return LeastConn(pool)
        case "first":
            return First(pool)
        case "random":
            return Random(pool, balance.draws)
        case "source":
            avalanche = balance.hash_modifier == "avalanche"
            if balance.hash_type == "consistent":
                return SourceByRing(pool, avalanche, balance.balance_factor_percent)
            return SourceByMap(pool, avalanche)
    raise AssertionError(balance.algorithm)  # the reader knows the names
