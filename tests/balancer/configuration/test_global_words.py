"""Tests of the `global` section."""

from __future__ import annotations

import pytest
from support.configuration_text import LISTEN, mistakes, process, read

from rabbitry.balancer.configuration.model import (
    MAXCONN_DEFAULT,
    BindLine,
    Global,
    RuntimeSocket,
)
from rabbitry.machine import Address


def test_all_words() -> None:
    told = process(
        "maxconn 9\nmaxconnrate 8\nmaxsessrate 7\nnbthread 3\nuser u\ngroup g\npidfile /p\nnode n\n"
        "description d e\nhard-stop-after 5s\nspread-checks 4\nmax-spread-checks 3s\n"
        "log-tag t\nlog-send-hostname h\nstats timeout 2m\nstats maxconn 20\n"
    )
    assert told == Global(
        9,
        3 * MAXCONN_DEFAULT,
        8,
        7,
        3,
        False,
        "u",
        "g",
        "/p",
        "n",
        "d e",
        5_000_000,
        4,
        3_000_000,
        (),
        "t",
        "h",
        (),
        120_000_000,
        20,
    )


def test_runtime_sockets() -> None:
    line = "stats socket /run/s.sock mode 660 level admin user u expose-fd listeners"
    told = process(f"{line}\nstats socket 127.0.0.1:9 level user\nstats socket ipv4@:8")
    assert told.runtime_sockets == (
        RuntimeSocket(BindLine(Address("/run/s.sock", 0), mode=0o660, level="admin", user="u")),
        RuntimeSocket(BindLine(Address("127.0.0.1", 9), level="user")),
        RuntimeSocket(BindLine(Address("0.0.0.0", 8), level="operator")),
    )


def test_processes() -> None:
    assert process("").processes == 1
    assert process("nbproc 2").processes == 2
    assert process("nbproc 2\nnbthread 3").processes == 6


def test_numbers_of_users() -> None:
    told = process("uid 5\ngid 6")
    assert (told.user, told.group) == ("5", "6")


def test_the_hosts_own_name() -> None:
    assert process("").log_send_hostname is None
    assert process("log-send-hostname").log_send_hostname == ""


def test_what_is_said_twice_counts_once() -> None:
    configuration = read("global\nmaxconn 5\nmaxconn 6\nuser a\nuid 7\n" + LISTEN)
    assert configuration.process.maxconn == 5
    assert configuration.process.user == "a"
    assert (configuration.process.user_place, configuration.process.group_place) == ("f.cfg:4", "")
    assert [each.split("'")[1] for each in configuration.warnings] == ["maxconn", "user"]


def test_the_environment_can_be_set_for_what_is_below() -> None:
    lines = (
        'setenv A 5\npresetenv A 6\npresetenv B 7\nmaxconn "$A"\nmaxconnrate "$B"\n'
        'unsetenv A\nmaxsessrate "${A-9}"\n'
    )
    told = process(lines)
    assert (told.maxconn, told.connections_per_s, told.sessions_per_s) == (5, 7, 9)
    text = 'global\nresetenv X\nmaxconn "${Y-1}"\nmaxconnrate "${X-1}"\n' + LISTEN
    told = read(text, {"X": "2", "Y": "3"}).process
    assert (told.maxconn, told.connections_per_s) == (1, 2)


def test_what_tunes_is_ignored_with_a_warning() -> None:
    lines = "chroot /x\ntune.bufsize 5\ncpu-map 1 0\nno busy-polling\nmaster-worker"
    warnings = read(f"global\n{lines}\n" + LISTEN).warnings
    assert [each.split("'")[1] for each in warnings] == [
        *("chroot", "tune.bufsize", "cpu-map", "master-worker")
    ]


@pytest.mark.parametrize(
    "line",
    [
        *("maxcon 5", "maxconn", "maxconn x", "maxconn 1 2", "nbthread 0", "nbthread 65"),
        *("user", "pidfile", "node a/b", "description", "hard-stop-after", "spread-checks 51"),
        *("stats", "stats sock /x", "stats socket", "stats timeout 0", "stats maxconn 0"),
        *("log-tag", "unix-bind prefix", "unix-bind x y", "crt-base", "ssl-server-verify x"),
        *("ssl-default-bind-options", "ssl-default-bind-options x", "lua-load x", "setenv A"),
        *("no maxconn", "default-path config", "stats socket /x level god", "uid x"),
    ],
)
def test_mistakes(line: str) -> None:
    (told,) = mistakes(f"global\n{line}\n" + LISTEN)
    assert told.startswith("f.cfg:2: '")
