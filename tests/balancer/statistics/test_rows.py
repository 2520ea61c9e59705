"""Tests of a row and of the choice among rows."""

from __future__ import annotations

from rabbitry.balancer.statistics.columns import COLUMNS, TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER
from rabbitry.balancer.statistics.rows import Selection, StatisticsRow

FRONT = StatisticsRow("web", "FRONTEND", TYPE_FRONTEND, "OPEN", "tcp", iid=2)
UP = StatisticsRow("web", "a", TYPE_SERVER, "UP", "tcp", iid=2, sid=1)
DOWN = StatisticsRow("web", "b", TYPE_SERVER, "DOWN", "tcp", iid=2, sid=2, is_down=True)
MAINT = StatisticsRow("web", "c", TYPE_SERVER, "MAINT", "tcp", iid=2, sid=3, in_maintenance=True)
OTHER = StatisticsRow("amqp", "BACKEND", TYPE_BACKEND, "UP", "tcp", iid=3)
ROWS = [FRONT, UP, DOWN, MAINT, OTHER]


def names(selection: Selection) -> list[str]:
    return [row.svname for row in selection.of(ROWS)]


def test_known_columns_are_in_order_with_zeros() -> None:
    known = StatisticsRow("p", "s", TYPE_SERVER, "UP", "tcp", scur=3, algo="first").known()
    order = [column.name for column in COLUMNS]
    assert list(known) == sorted(known, key=order.index)
    assert (known["scur"], known["dresp"], known["algo"]) == (3, 0, "first")
    assert "qcur" not in known
    assert "hrsp_2xx" not in known


def test_mode_http_has_columns_of_its_own() -> None:
    row = StatisticsRow("p", "FRONTEND", TYPE_FRONTEND, "OPEN", "http", cells={"hrsp_2xx": 7})
    assert (row.known()["hrsp_2xx"], row.known()["hrsp_5xx"]) == (7, 0)


def test_selection_by_section_type_and_number() -> None:
    assert names(Selection()) == ["FRONTEND", "a", "b", "c", "BACKEND"]
    assert names(Selection(iid=3)) == ["BACKEND"]
    assert names(Selection(types=(TYPE_SERVER,))) == ["a", "b", "c"]
    assert names(Selection(types=(TYPE_SERVER,), sid=2)) == ["b"]
    assert names(Selection(scopes=("amqp",))) == ["BACKEND"]
    assert names(Selection(search="WE")) == ["FRONTEND", "a", "b", "c"]


def test_selection_by_state() -> None:
    assert names(Selection(no_maintenance=True)) == ["FRONTEND", "a", "b", "BACKEND"]
    assert names(Selection(up_only=True)) == ["FRONTEND", "a", "BACKEND"]
