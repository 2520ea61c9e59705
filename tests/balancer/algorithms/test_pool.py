"""Tests of who takes part in balancing."""

from __future__ import annotations

from support.candidates import Seat

from rabbitry.balancer.algorithms.pool import Pool


def pool(*, all_backups: bool) -> Pool[Seat]:
    return Pool(
        [Seat("a", 1, 2), Seat("x", 2, 3, is_backup=True), Seat("y", 3, 4, is_backup=True)],
        all_backups,
    )


def test_backups_wait_until_no_active_server_is_left() -> None:
    several = pool(all_backups=False)
    assert [seat.name for seat in several.in_turn] == ["a"]
    assert several.sole_backup is None
    assert several.total_weight == 2 * 16
    several.servers[0].up = False
    several.recount()
    assert [seat.name for seat in several.in_turn] == ["x"]
    assert several.sole_backup is several.servers[1]


def test_all_backups_take_part_where_it_is_said() -> None:
    several = pool(all_backups=True)
    several.servers[0].up = False
    several.recount()
    assert [seat.name for seat in several.in_turn] == ["x", "y"]
    assert several.sole_backup is None


def test_nobody() -> None:
    empty: Pool[Seat] = Pool([], False)
    assert (empty.in_turn, empty.total_weight, empty.sole_backup) == ([], 0, None)
