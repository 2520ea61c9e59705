"""Leases: who is silent for too long, and that our own absence is nobody's silence."""

from __future__ import annotations

from rabbitry.cluster.leases import Leases
from rabbitry.cluster.members import Member

LEASE_US = 800


def members() -> dict[str, Member]:
    found = {name: Member("1") for name in "abc"}
    found["a"].state = found["b"].state = "running"
    return found


def test_who_runs_and_was_not_heard_of_for_a_lease_is_overdue() -> None:
    nodes = members()
    leases = Leases(nodes, LEASE_US)
    now = 0
    for _ in range(8):
        now = leases.look_at(now)
        nodes["b"].heard_at = now
        assert leases.overdue(now) == []
    assert now == LEASE_US
    now = leases.look_at(now)
    assert leases.overdue(now) == ["a"], "b was heard of, and c is down"


def test_who_looks_late_gives_everybody_a_lease_from_then_on() -> None:
    leases = Leases(members(), LEASE_US)
    late = leases.look_at(10_000) + LEASE_US // 2 + 1
    assert leases.overdue(late) == []
    now = late
    while now + LEASE_US // 8 <= late + LEASE_US:
        now = leases.look_at(now)
        assert leases.overdue(now) == []
    assert leases.overdue(leases.look_at(now)) == ["a", "b"]
    on_time = Leases(members(), LEASE_US)
    assert on_time.overdue(on_time.look_at(10_000) + LEASE_US // 2) == ["a", "b"]
