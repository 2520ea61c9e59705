"""Tests of commands that tell."""

from __future__ import annotations

import json

from support.runtime_terminal import RuntimeTalk

TEXT = """
global
    stats socket /run/s
listen front
    bind 127.0.0.1:1
    server a 127.0.0.1:28011 check inter 1s
    server b 127.0.0.1:28012 weight 2 backup
listen other
    bind 127.0.0.1:2
    server c 127.0.0.1:28013
"""


def csv_names(text: str) -> list[str]:
    return ["/".join(line.split(",")[:2]) for line in text.splitlines()[1:] if line]


def test_show_stat_and_its_selections() -> None:
    talk = RuntimeTalk(TEXT)
    every = ["front/FRONTEND", "front/a", "front/b", "front/BACKEND"]
    every += ["other/FRONTEND", "other/c", "other/BACKEND"]
    assert csv_names(talk.say("show stat")) == every
    assert csv_names(talk.say("show stat -1 4 -1")) == ["front/a", "front/b", "other/c"]
    assert csv_names(talk.say("show stat front 4 2")) == ["front/b"]
    assert csv_names(talk.say("show stat 3 3 -1")) == ["other/FRONTEND", "other/BACKEND"]
    assert csv_names(talk.say("show stat domain proxy other 2 -1")) == ["other/BACKEND"]
    assert talk.say("show stat zz 1 1") == "No such proxy.\n\n"
    assert talk.say("show stat domain foo") == "Invalid statistics domain.\n\n"


def test_show_stat_without_what_is_away() -> None:
    talk = RuntimeTalk(TEXT)
    talk.say("set server front/a state maint")
    assert "front/a" not in csv_names(talk.say("show stat no-maint"))
    text = talk.say("show stat front 2 -1 up")
    assert ",UP (1/2)," in text


def test_show_stat_typed_and_json() -> None:
    talk = RuntimeTalk(TEXT)
    assert (
        talk.say("show stat front 1 -1 typed").splitlines()[0] == "F.2.0.0.pxname.1:KNS:str:front"
    )
    assert ':"name of the section"' in talk.say("show stat front 1 -1 typed desc")
    rows = json.loads(talk.say("show stat json"))
    assert len(rows) == 7
    assert json.loads(talk.say("show schema json"))["$schema"].startswith("http://json-schema.org")
    fields = json.loads(talk.say("show info json"))
    assert {"Pid", "Uptime_sec"} <= {each["field"]["name"] for each in fields}


def test_show_info() -> None:
    talk = RuntimeTalk(TEXT)
    talk.client(1)
    talk.now += 3_000_000
    lines = talk.say("show info").splitlines()
    for line in ("Pid: 42", "CurrConns: 1", "CumConns: 1", "Uptime_sec: 3", "MaxConnRate: 1"):
        assert line in lines
    assert "6.Pid.1:SGP:u32:42" in talk.say("show info typed").splitlines()


def test_show_servers_state() -> None:
    talk = RuntimeTalk(TEXT)
    talk.now += 51_000_000
    talk.say("set server front/b state drain")
    version, header, *lines = talk.say("show servers state front").splitlines()
    assert (version, header.split()[:3]) == ("1", ["#", "be_id", "be_name"])
    assert len(header.split()) - 1 == len(lines[0].split()) == 25
    # Recorded of HAProxy 2.6.12 on 2026-11-23, but for a check that has passed: its own
    # `2 front 1 a 127.0.0.1 2 0 1 1 51 6 3 4 6 0 0 0 - 28011 - 0 0 - - 0`.
    assert lines[0] == "2 front 1 a 127.0.0.1 2 0 1 1 51 1 0 2 6 0 0 0 - 28011 - 0 0 - - 0"
    assert lines[1] == "2 front 2 b 127.0.0.1 2 8 2 2 0 1 0 2 0 0 0 0 - 28012 - 0 0 - - 0"
    assert talk.say("show servers state zz") == "Can't find backend.\n\n"


def test_show_servers_conn_and_backends() -> None:
    talk = RuntimeTalk(TEXT)
    header, first, *_ = talk.say("show servers conn").splitlines()
    assert header.startswith("# bkname/svname bkid/svid addr port - purge_delay used_cur")
    assert first == "front/a 2/1 127.0.0.1 28011 - 5000 0 0 0 0 0 -1 0 0"
    assert talk.say("show backend") == "# name\nfront\nother\n\n"
    assert talk.say("show errors") == (
        "Total events captured on [23/Nov/2026:03:45:21.176] : 0\n\n"
    )
    assert talk.say("show errors zz") == "No such proxy.\n\n"
