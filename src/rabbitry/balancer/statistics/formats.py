"""Rows as HAProxy writes them: `;csv` (`show stat`), `show stat typed`, `;json` and their schema.

Owns the three texts, byte for byte where the values are the same (src/stats.c). Two liberties:
strings in JSON are escaped (HAProxy 2.6 does not), and meanings (`desc`) are in our own words.

Invariants: pure; a line a row in CSV, a line a value in typed output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rabbitry.balancer.statistics.columns import (
    COLUMNS,
    FIXED_COLUMNS,
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
    Column,
)
from rabbitry.balancer.statistics.rows import ALL, Selection, StatisticsRow, Value

T = TypeVar("T")

_FIXED = tuple(column.name for column in COLUMNS[:FIXED_COLUMNS])
_MODULES = tuple(column.name for column in COLUMNS[FIXED_COLUMNS:])
HEADER = "# " + ",".join((*_FIXED, "-", *_MODULES)) + ",\n"
"""The first line of the CSV."""

_LETTERS = {TYPE_FRONTEND: "F", TYPE_BACKEND: "B", TYPE_LISTENER: "L", TYPE_SERVER: "S"}
_OBJECTS = {
    TYPE_FRONTEND: "Frontend",
    TYPE_BACKEND: "Backend",
    TYPE_LISTENER: "Listener",
    TYPE_SERVER: "Server",
}
ORIGINS = {"M": "Metric", "S": "Status", "K": "Key", "C": "Config", "P": "Product"}
NATURES = {
    "G": "Gauge",
    "L": "Limit",
    "m": "Min",
    "M": "Max",
    "R": "Rate",
    "C": "Counter",
    "D": "Duration",
    "A": "Age",
    "T": "Time",
    "N": "Name",
    "O": "Output",
    "a": "Avg",
}
SCOPES = {"P": "Process", "S": "Service", "s": "System", "C": "Cluster"}


def to_csv(rows: Sequence[StatisticsRow], selection: Selection = ALL, legends: bool = True) -> str:
    """Render rows as HAProxy's `;csv`: a header beginning `# `, a comma behind every column."""
    lines = [HEADER]
    for row in rows:
        known = row.known(legends)
        known["status"] = selection.status_of(row)
        cells = [_quoted(known.get(name, "")) for name in _FIXED]
        cells.append("-")
        cells += [str(known.get(name, "")) for name in _MODULES]
        lines.append(",".join(cells) + ",\n")
    return "".join(lines)


def to_typed(
    rows: Sequence[StatisticsRow],
    selection: Selection = ALL,
    legends: bool = True,
    meanings: bool = False,
) -> str:
    """Render rows as `show stat typed`: a line a value. `meanings`: with `desc`."""

    def line(row: StatisticsRow, place: int, column: Column, value: Value) -> str:
        meaning = f':"{column.meaning}"' if meanings else ""
        return (
            f"{_LETTERS[row.type]}.{row.iid}.{row.sid}.{place}.{column.name}.{row.pid}:"
            f"{column.tags_of(row.type)}:{column.type}:{value}{meaning}\n"
        )

    return "".join(_each_value(rows, selection, legends, line))


def to_json(rows: Sequence[StatisticsRow], selection: Selection = ALL, legends: bool = True) -> str:
    """Render rows as `show stat json`: a list of a list of values for each row."""

    def value(row: StatisticsRow, place: int, column: Column, value: Value) -> dict[str, Any]:
        return {
            "objType": _OBJECTS[row.type],
            "proxyId": row.iid,
            "id": row.sid,
            **json_value(place, column.name, column.tags_of(row.type), column.type, value),
        }

    return json.dumps(
        [_each_value([row], selection, legends, value) for row in rows], separators=(",", ":")
    )


def json_value(place: int, name: str, tags: str, type_: str, value: Value) -> dict[str, Any]:
    """One value in HAProxy's JSON: `tags` are the letters of origin, nature, scope."""
    return {
        "field": {"pos": place, "name": name},
        "processNum": 1,
        "tags": {
            "origin": ORIGINS[tags[0]],
            "nature": NATURES[tags[1]],
            "scope": SCOPES[tags[2]],
        },
        "value": {"type": type_, "value": value},
    }


def _each_value(
    rows: Sequence[StatisticsRow],
    selection: Selection,
    legends: bool,
    render: Callable[[StatisticsRow, int, Column, Value], T],
) -> list[T]:
    rendered = []
    for row in rows:
        known = row.known(legends)
        known["status"] = selection.status_of(row)
        for place, column in enumerate(COLUMNS):
            value = known.get(column.name)
            if value is not None:
                rendered.append(render(row, place, column, value))
    return rendered


def _quoted(value: Value) -> str:
    text = str(value)
    if any(char in text for char in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def json_schema() -> str:
    """The JSON schema of `show info json` and `show stat json`, as `show schema json` has it."""
    return json.dumps(_schema(), separators=(",", ":"))


def _schema() -> dict[str, Any]:
    integer = {"type": "integer", "minimum": 0}
    item = {name: {"$ref": f"#/definitions/{name}"} for name in ("field", "processNum", "tags")}
    value = {"$ref": "#/definitions/typedValue"}
    objects = ["Frontend", "Backend", "Listener", "Server", "Unknown"]
    info = _object({**item, "value": value}, "InfoItem")
    stat = {"objType": {"enum": objects}, "proxyId": integer, "id": integer, **item}
    row = _object({**stat, "value": value}, "InfoItem")
    error = {"title": "Error", **_object({"errorStr": {"type": "string"}})}
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "oneOf": [
            {"title": "Info", "type": "array", "items": info},
            {"title": "Stat", "type": "array", "items": {"type": "array", "items": row}},
            error,
        ],
        "definitions": {
            "field": _object({"pos": integer, "name": {"type": "string"}}),
            "processNum": {"type": "integer", "minimum": 1},
            "tags": _object(
                {
                    "origin": {"type": "string", "enum": [*ORIGINS.values(), "Unknown"]},
                    "nature": {"type": "string", "enum": [*NATURES.values(), "Unknown"]},
                    "scope": {"type": "string", "enum": [*SCOPES.values(), "Unknown"]},
                }
            ),
            "typedValue": {
                "type": "object",
                "oneOf": [_object(each) for each in _typed_values()],
            },
        },
    }


def _object(properties: dict[str, Any], title: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"title": title} if title else {}
    return made | {"type": "object", "properties": properties, "required": list(properties)}


def _typed_values() -> list[dict[str, Any]]:
    json_max = 2**53 - 1  # what every reader of JSON can hold
    bounds = {
        "s32": (-(2**31), 2**31 - 1),
        "s64": (-json_max, json_max),
        "u32": (0, 2**32 - 1),
        "u64": (0, json_max),
    }
    values: list[dict[str, Any]] = [
        {"type": {"enum": [name]}, "value": {"type": "integer", "minimum": low, "maximum": high}}
        for name, (low, high) in bounds.items()
    ]
    return [*values, {"type": {"enum": ["str"]}, "value": {"type": "string"}}]
