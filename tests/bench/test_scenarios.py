"""bench.scenarios: the list holds together."""

from __future__ import annotations

from bench.scenarios import SCENARIOS


def test_rows_have_names_of_their_own_and_goals_for_sides_that_take_part() -> None:
    for scenario in SCENARIOS.values():
        names = [row.name for row in scenario.rows]
        assert len(set(names)) == len(names)
        assert any(row.headline for row in scenario.rows)
        for row in scenario.rows:
            assert {side for side, _ in row.goals} <= set(scenario.sides)
            assert not row.rate or row.confirm_and_ack
            assert row.route == "leader" or scenario.node_count > 1
