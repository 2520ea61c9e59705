"""Tests of log lines against what HAProxy 2.6.12 wrote in the same situations."""

from __future__ import annotations

from rabbitry.balancer.log_lines import line_of
from rabbitry.machine import Report

CHANGE = {
    "proxy": "rabbitmq_local_cluster",
    "server": "rabbit",
    "backup": False,
    "up": False,
    "forced": False,
    "drained": False,
    "group": "maintenance",
    "via": "",
    "status": "L4CON",
    "reason": "Layer4 connection problem",
    "explanation": "",
    "code": None,
    "info": "Connection refused",
    "check_duration_ms": 0,
    "active_left": 2,
    "backups_left": 0,
    "sessions": 0,
    "moved": 0,
    "queued": 0,
}
SESSION = {
    "client": "127.0.0.1:55376",
    "frontend": "rabbitmq_local_cluster",
    "backend": "rabbitmq_local_cluster",
    "server": "rabbit_1",
    "wait_ms": 1,
    "connect_ms": 0,
    "total_ms": 2,
    "bytes_in": 3,
    "bytes_out": 9,
    "state": "--",
    "process_sessions": 2,
    "front_sessions": 2,
    "back_sessions": 1,
    "server_sessions": 0,
    "retries": 1,
    "redispatched": True,
    "server_queue": 1,
    "backend_queue": 2,
    "soon": False,
}


def test_server_down() -> None:
    assert line_of(Report("warning", "server is down", CHANGE)) == (
        "Server rabbitmq_local_cluster/rabbit is DOWN, reason: Layer4 connection problem, "
        'info: "Connection refused", check duration: 0ms. 2 active and 0 backup servers left. '
        "0 sessions active, 0 requeued, 0 remaining in queue."
    )


def test_server_up() -> None:
    details = CHANGE | {"reason": "Layer4 check passed", "info": "", "up": True}
    assert line_of(Report("warning", "server is up", details)) == (
        "Server rabbitmq_local_cluster/rabbit is UP, reason: Layer4 check passed, "
        "check duration: 0ms. 2 active and 0 backup servers online. "
        "0 sessions requeued, 0 total in queue."
    )


def test_backup_takes_over() -> None:
    line = line_of(
        Report("warning", "server is down", CHANGE | {"active_left": 0, "backups_left": 1})
    )
    assert "0 active and 1 backup servers left. Running on backup. 0 sessions active" in line
    line = line_of(Report("warning", "server is down", CHANGE | {"backup": True}))
    assert line.startswith("Backup Server rabbitmq_local_cluster/rabbit is DOWN")


def test_no_server_available() -> None:
    report = Report("error", "proxy has no server available", {"proxy": "p"})
    assert line_of(report) == "proxy p has no server available!"


def test_session_in_the_format_of_tcplog() -> None:
    assert line_of(Report("info", "session ended", SESSION), "22/Nov/2026:18:22:14.252") == (
        "127.0.0.1:55376 [22/Nov/2026:18:22:14.252] rabbitmq_local_cluster "
        "rabbitmq_local_cluster/rabbit_1 2/0/2 9 -- 2/2/1/0/+1 1/2"
    )


def test_session_that_never_had_a_server_and_one_that_is_told_of_soon() -> None:
    details = SESSION | {"wait_ms": -1, "connect_ms": -1, "redispatched": False, "retries": 0}
    assert " -1/-1/2 9 -- 2/2/1/0/0 1/2" in line_of(Report("info", "session ended", details))
    line = line_of(Report("info", "session ended", SESSION | {"soon": True}))
    assert " 2/0/+2 +9 -- " in line


def test_clients_without_a_log_format() -> None:
    details = {"client": "10.0.0.1:7", "local": "10.0.0.9:1", "listener": 2, "frontend": "front"}
    report = Report("info", "client connected", details)
    assert line_of(report) == "Connect from 10.0.0.1:7 to 10.0.0.9:1 (front/TCP)"
    details = details | {"client": None}
    assert line_of(Report("info", "client connected", details)) == "Connect to unix:2 (front/TCP)"


def test_clients_that_did_not_say_whom_they_are_for() -> None:
    details = {"client": "10.0.0.1:7", "frontend": "front", "listener": "1", "text": "Timeout"}
    line = line_of(Report("info", "client refused", details), "22/Nov/2026:18:22:14.252")
    assert line == "10.0.0.1:7 [22/Nov/2026:18:22:14.252] front/1: Timeout"


def test_other_reports() -> None:
    assert (
        line_of(Report("error", "cannot accept", {"listener": "a"})) == "cannot accept listener=a"
    )


WANTED = CHANGE | {"status": "", "reason": "", "info": "", "moved": None, "via": "b/t"}


def test_what_operators_do_is_told_in_haproxys_words() -> None:
    def told(what: str, **details: object) -> str:
        line = line_of(Report("info", what, WANTED | details))
        return line.removeprefix("Server rabbitmq_local_cluster/rabbit ")

    left = ". 2 active and 0 backup servers"
    queue = "0 sessions active, 0 requeued, 0 remaining in queue."
    online = " online. 0 sessions requeued, 0 total in queue."
    forced = {"forced": True, "moved": 0}
    entering = "server enters maintenance"
    assert told(entering, **forced) == f"is going DOWN for maintenance{left} left. {queue}"
    assert told(entering, moved=0).startswith("is going DOWN for maintenance via b/t. 2 active")
    assert told("server was down and enters maintenance", forced=True) == (
        "was DOWN and now enters maintenance."
    )
    assert told("server is drained", up=True, **forced) == f"enters drain state{left}{online}"
    assert told("server leaves maintenance", up=True, forced=True) == (
        "is UP/READY (leaving forced maintenance)."
    )
    assert told("server leaves drain", forced=True) == "is DOWN (leaving forced drain)."
    assert told("server stays as it is", forced=True, group="drain") == (
        "is leaving forced drain but remains in drain mode via b/t."
    )


def test_a_disk_that_nobody_may_ask() -> None:
    details = {
        "proxy": "b",
        "server": "s",
        "backup": False,
        "severity": "warning",
        "refusal": "403 no",
    }
    report = Report("warning", "server lets nobody ask its disk", details)
    assert line_of(report) == "Server b/s is checked without its disk: 403 no."
