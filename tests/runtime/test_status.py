"""States have their words, and a status reads well."""

from __future__ import annotations

import pytest

from rabbitry.runtime.status import (
    Backend,
    BalancerStatus,
    NodeStatus,
    QueueStatus,
    Status,
    backends_of,
    node_state,
    table,
)


@pytest.mark.parametrize(
    ("alive", "killed", "stopped", "known", "state"),
    [
        (True, False, False, "running", "running"),
        (True, False, False, "hung", "hung"),
        (True, False, False, "down", "starting"),
        (True, False, False, "", "starting"),
        (True, False, True, "running", "stopped"),
        (True, False, True, "hung", "stopped"),
        (False, False, False, "running", "down"),
        (False, True, False, "running", "killed"),
    ],
)
def test_words_of_state(alive: bool, killed: bool, stopped: bool, known: str, state: str) -> None:
    assert node_state(alive=alive, killed=killed, stopped=stopped, known=known) == state


def test_backends_are_the_servers_of_the_page() -> None:
    page = (
        "# pxname,svname,qcur,scur,status,weight,\n"
        "front,FRONTEND,,3,OPEN,,\n"
        "front,rabbit,0,2,UP,1,\n"
        "front,rabbit_1,0,,DOWN,1,\n"
        "front,BACKEND,0,2,UP,1,\n"
    )
    assert backends_of(page) == [Backend("rabbit", "UP", 2), Backend("rabbit_1", "DOWN", 0)]
    assert backends_of("") == []
    assert backends_of("<html>no page</html>") == []


STATUS = Status(
    data_dir="/tmp/r",
    pid=10,
    nodes=[
        NodeStatus("rabbit", 11, 5672, "running"),
        NodeStatus("rabbit_1", None, 5673, "killed"),
    ],
    queues=[QueueStatus("/", "orders", "rabbit", ["rabbit_1"], ["rabbit"], 12, 3)],
    balancer=BalancerStatus(
        "127.0.0.1:5670",
        "http://127.0.0.1:8100/stats",
        12,
        "running",
        [Backend("rabbit", "UP", 4), Backend("rabbit_1", "DOWN", 0)],
    ),
    disk_bytes=1_234_000_000,
    free_bytes=3_456_000,
)


def test_the_table_is_aligned_and_plain() -> None:
    assert table(STATUS, coloured=False) == (
        "node      pid  port  state\n"
        "rabbit     11  5672  running\n"
        "rabbit_1    -  5673  killed\n"
        "\n"
        "vhost  queue   leader  mirrors   in sync  messages  consumers\n"
        "/      orders  rabbit  rabbit_1  rabbit         12          3\n"
        "\n"
        "balancer        pid  statistics                   state\n"
        "127.0.0.1:5670   12  http://127.0.0.1:8100/stats  running\n"
        "\n"
        "backend   sessions  state\n"
        "rabbit           4  UP\n"
        "rabbit_1         0  DOWN\n"
        "\n"
        "data directory   takes    free\n"
        "/tmp/r          1.2 GB  3.5 MB\n"
    )


def test_alarms_have_a_column_while_there_are_any() -> None:
    nodes = [NodeStatus("a", 1, 2, "running", ["memory", "disk"]), NodeStatus("b", 3, 4, "running")]
    shown = table(Status("/tmp/r", 1, nodes, [], STATUS.balancer), coloured=False)
    assert shown.splitlines()[:3] == [
        "node  pid  port  alarms                state",
        "a       1     2  low on memory & disk  running",
        "b       3     4  -                     running",
    ]


def test_what_is_not_known_is_a_dash() -> None:
    queue = QueueStatus("/", "q", None, [], [], None, None)
    status = Status("/tmp/r", 1, [], [queue], STATUS.balancer)
    assert "/      q      -       -        -               -          -\n" in table(
        status, coloured=False
    )


def test_why_a_queue_waits_has_a_column_while_one_does() -> None:
    queues = [
        QueueStatus(
            "/", "q", "", ["b", "c"], [], None, None, ["b"], "waits for b: only it has all"
        ),
        QueueStatus("/", "r", "a", [], ["a"], 1, 0),
    ]
    shown = table(Status("/tmp/r", 1, [], queues, STATUS.balancer), coloured=False)
    assert shown.splitlines()[2:5] == [
        "vhost  queue  leader  mirrors  in sync  messages  consumers  why nobody leads",
        "/      q      -       b, c     -               -          -  waits for b: only it has all",
        "/      r      a       -        a               1          0  -",
    ]


def test_trouble_with_the_catalog_stands_first() -> None:
    status = Status("/tmp/r", 1, [], [], STATUS.balancer, "No space left on device")
    assert table(status, coloured=False).splitlines()[0] == (
        "the catalog cannot be written, so that declarations wait: No space left on device"
    )


def test_colours_change_nothing_but_colours() -> None:
    import re

    coloured = table(STATUS, coloured=True)
    assert "\x1b[32mrunning\x1b[0m" in coloured
    assert "\x1b[31mkilled\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == table(STATUS, coloured=False)


def test_the_name_of_a_queue_cannot_steer_the_terminal() -> None:
    queue = QueueStatus("/", "evil\x1b[2J\nqueue", "rabbit", [], [], 0, 0)
    status = Status("/tmp/r", 1, [], [queue], STATUS.balancer)
    assert "\x1b" not in table(status, coloured=False)
    assert any(
        "evil" in line and "queue" in line for line in table(status, coloured=False).split("\n")
    )
