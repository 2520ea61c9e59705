"""The statistics, beside HAProxy 2.6: rows and columns, the page, its admin, what exporters read."""

# ruff: noqa: E501 - rows are as long as they are
from __future__ import annotations

import base64
import csv
import json
import re
import urllib.parse

from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.scripted_servers import closes_after, says

TWO = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
    server s2 127.0.0.1:{s2} %s
"""
PLAIN = TWO % ("", "", "")
# What the clock decides.
TIMED = ("lastchg", "lastsess", "downtime", "check_duration", "agent_duration", "rate", "rate_max")
TIMED += ("conn_rate", "conn_rate_max", "req_rate", "req_rate_max")
TIMED += tuple(f"{which}time{more}" for which in "qcrt" for more in ("", "_max"))


def whole_rows(side: Side, proxy: str = "front") -> dict[str, dict[str, str]]:
    """All columns that say something, but those of the clock."""
    return {
        name: {key: value for key, value in row.items() if value and key not in TIMED}
        for (owner, name), row in side.rows().items()
        if owner == proxy
    }


def authorization(word: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(word.encode()).decode()}


def page_with(*lines: str) -> str:
    """The preamble with these lines in the section of the page."""
    more = "".join(f"    {line}\n" for line in lines)
    return PREAMBLE.replace("    stats enable\n", "    stats enable\n" + more)


def test_rows_before_anything_happened() -> None:
    assert len(play(PLAIN, whole_rows)) == 4


def test_rows_after_some_sessions() -> None:
    def script(side: Side) -> object:
        for count, data in enumerate((b"12345", b"1234567890"), start=1):
            link = side.connect()
            link.line()
            link.send(data)
            link.exactly(len(data))
            link.close()
            side.sessions(count)
        return whole_rows(side)

    assert len(play(PLAIN, script)) == 4


def test_rows_of_checked_and_backup_servers() -> None:
    def script(side: Side) -> object:
        side.notices(1, "s1 is DOWN")
        side.figures_when(lambda rows: rows["s2"] == ["L4OK"], "check_status")
        rows = whole_rows(side)
        del rows["s1"]["chkfail"]
        return rows

    text = TWO % (
        "balance leastconn",
        "check inter 300 fastinter 50 weight 5 maxconn 9",
        "check inter 300 backup",
    )
    assert len(play(text, script, {"s1": None})) == 4


def test_rows_of_frontend_and_backend_apart() -> None:
    def script(side: Side) -> object:
        side.reach("front")
        rows = side.rows()
        return [
            (*key, row["iid"], row["sid"], row["type"], row["mode"], row["stot"])
            for key, row in rows.items()
        ]

    text = """
    backend back
        balance source
        server s1 127.0.0.1:{s1}
    frontend front
        bind 127.0.0.1:{front}
        default_backend back
    listen both
        bind 127.0.0.1:{both}
        server s2 127.0.0.1:{s2} id 70
    """
    assert play(text, script) == [
        ("page", "FRONTEND", "2", "0", "0", "http", "1"),
        ("page", "BACKEND", "2", "0", "1", "http", "0"),
        ("back", "s1", "3", "1", "2", "tcp", "1"),
        ("back", "BACKEND", "3", "0", "1", "tcp", "1"),
        ("front", "FRONTEND", "4", "0", "0", "tcp", "1"),
        ("both", "FRONTEND", "5", "0", "0", "tcp", "0"),
        ("both", "s2", "5", "70", "2", "tcp", "0"),
        ("both", "BACKEND", "5", "0", "1", "tcp", "0"),
    ]


def test_order_of_columns() -> None:
    def script(side: Side) -> object:
        return side.get("/stats;csv")[1].decode().splitlines()[0].split(",")

    assert play(PLAIN, script)[:8] == [
        "# pxname",
        "svname",
        "qcur",
        "qmax",
        "scur",
        "smax",
        "slim",
        "stot",
    ]


def test_sessions_under_way_are_in_the_rows() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        for link in links:
            link.line()
        return side.figures("scur", "smax", "stot", "lbtot", "conn_tot", "connect")

    assert play(PLAIN, script) == {
        "FRONTEND": ["3", "3", "3", "", "3", ""],
        "s1": ["2", "2", "2", "2", "", "2"],
        "s2": ["1", "1", "1", "1", "", "1"],
        "BACKEND": ["3", "3", "3", "3", "", "3"],
    }


def test_disabled_frontend_section_has_no_rows() -> None:
    def script(side: Side) -> object:
        return sorted(side.rows())

    text = (
        PLAIN + "listen off\n    disabled\n    bind 127.0.0.1:{off}\n    server s3 127.0.0.1:{s3}\n"
    )
    assert play(text, script) == [
        ("front", "BACKEND"),
        ("front", "FRONTEND"),
        ("front", "s1"),
        ("front", "s2"),
        ("page", "BACKEND"),
        ("page", "FRONTEND"),
    ]


def test_csv_of_the_page_has_its_type() -> None:
    def script(side: Side) -> object:
        return [
            side.headers(path)["content-type"].partition(";")[0]
            for path in ("/stats;csv", "/stats", "/stats;json")
        ]

    assert play(PLAIN, script) == ["text/plain", "text/html", "application/json"]


def test_json_of_the_page() -> None:
    def script(side: Side) -> object:
        side.reach()
        objects = json.loads(side.get("/stats;json")[1])
        return [
            [(each["objType"], each["field"]["name"], each["value"]["type"]) for each in row]
            for row in objects
            if any(
                each["field"]["name"] == "pxname" and each["value"]["value"] == "front"
                for each in row
            )
        ]

    assert len(play(PLAIN, script)) == 4


def test_other_paths_are_not_the_page() -> None:
    def script(side: Side) -> object:
        return [
            side.get(path)[0]
            for path in ("/", "/stat", "/stats", "/stats?x", "/stats;up", "/statsandmore")
        ]

    assert play(PLAIN, script) == [503, 503, 200, 200, 200, 200]


def test_page_behind_a_password() -> None:
    def script(side: Side) -> object:
        answers = [
            side.get("/stats")[0],
            side.get("/stats", headers=authorization("me:wrong"))[0],
            side.get("/stats", headers=authorization("me:secret"))[0],
            side.get("/stats;csv", headers=authorization("you:other"))[0],
        ]
        return answers, side.headers("/stats").get("www-authenticate")

    preamble = page_with(
        "stats auth me:secret", "stats auth you:other", "stats realm Hare\\ Warren"
    )
    assert play(PLAIN, script, preamble=preamble) == (
        [401, 401, 200, 200],
        'Basic realm="Hare Warren"',
    )


def test_page_that_reloads_itself() -> None:
    def script(side: Side) -> object:
        return side.headers("/stats").get("refresh"), side.headers("/stats;norefresh").get(
            "refresh"
        )

    assert play(PLAIN, script, preamble=page_with("stats refresh 7s")) == ("7", None)


def test_page_shows_what_people_know() -> None:
    """Title, node, description, a table for each section, a row for each server."""

    def script(side: Side) -> object:
        text = side.get("/stats")[1].decode()
        names = re.findall(r'<a name="(\w+)/([^"]+)"', text)
        words = (
            "Statistics Report",
            "Session rate",
            "Downtme",
            "Thrtle",
            "LastChk",
            "no check",
            "2h hares",
            "warren1",
        )
        return names, [word in text for word in words]

    preamble = page_with("stats show-node warren1", "stats show-desc 2h hares")
    assert play(PLAIN, script, preamble=preamble) == (
        [
            ("page", "Frontend"),
            ("page", "Backend"),
            ("front", "Frontend"),
            ("front", "s1"),
            ("front", "s2"),
            ("front", "Backend"),
        ],
        [True, True, False, True, True, True, True, True],
    )


def test_page_of_some_sections_only() -> None:
    def script(side: Side) -> object:
        return sorted({owner for owner, _ in side.rows()})

    assert play(PLAIN, script, preamble=page_with("stats scope front")) == ["front"]


def test_page_without_the_version() -> None:
    def script(side: Side) -> object:
        return [bool(re.search(r"version \d", side.get("/stats")[1].decode()))]

    assert play(PLAIN, script, preamble=page_with("stats hide-version")) == [False]


def test_page_that_steers() -> None:
    """What the form of the page posts, and where that leads."""

    def post(side: Side, **words: str) -> tuple[int, str]:
        status, headers = side.post("/stats", urllib.parse.urlencode(words))
        return status, re.sub(r"#.*", "", headers.get("location", ""))

    def script(side: Side) -> object:
        backend = f"#{side.rows()['front', 'BACKEND']['iid']}"
        answers = [post(side, s="s1", action="drain", b=backend)]
        states = [side.figures("status")]
        for action in ("ready", "maint", "disable", "enable", "stop", "nothing"):
            answers.append(post(side, s="s1", action=action, b=backend))
            states.append(side.figures("status"))
        answers.append(post(side, s="s9", action="maint", b=backend))
        answers.append(post(side, s="s1", action="maint", b="#99"))
        return answers, states

    assert play(PLAIN, script, preamble=page_with("stats admin if TRUE")) == (
        [
            (303, "/stats;st=DONE"),
            (303, "/stats;st=DONE"),
            (303, "/stats;st=DONE"),
            (303, "/stats;st=NONE"),
            (303, "/stats;st=DONE"),
            (303, "/stats;st=DONE"),
            (303, "/stats;st=ERRP"),
            (303, "/stats;st=ERRP"),
            (303, "/stats;st=ERRP"),
        ],
        [
            {"FRONTEND": ["OPEN"], "s1": ["DRAIN"], "s2": ["no check"], "BACKEND": ["UP"]},
            {"FRONTEND": ["OPEN"], "s1": ["no check"], "s2": ["no check"], "BACKEND": ["UP"]},
            {"FRONTEND": ["OPEN"], "s1": ["MAINT"], "s2": ["no check"], "BACKEND": ["UP"]},
            {"FRONTEND": ["OPEN"], "s1": ["MAINT"], "s2": ["no check"], "BACKEND": ["UP"]},
            {"FRONTEND": ["OPEN"], "s1": ["no check"], "s2": ["no check"], "BACKEND": ["UP"]},
            {"FRONTEND": ["OPEN"], "s1": ["DRAIN"], "s2": ["no check"], "BACKEND": ["UP"]},
            {"FRONTEND": ["OPEN"], "s1": ["DRAIN"], "s2": ["no check"], "BACKEND": ["UP"]},
        ],
    )


def test_page_does_not_steer_unless_told() -> None:
    def script(side: Side) -> object:
        backend = f"#{side.rows()['front', 'BACKEND']['iid']}"
        body = urllib.parse.urlencode({"s": "s1", "action": "maint", "b": backend})
        status, headers = side.post("/stats", body)
        return status, headers.get("location"), side.figures("status")

    assert play(PLAIN, script) == (
        303,
        "/stats;st=DENY",
        {"FRONTEND": ["OPEN"], "s1": ["no check"], "s2": ["no check"], "BACKEND": ["UP"]},
    )


def test_page_ends_sessions() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        backend = f"#{side.rows()['front', 'BACKEND']['iid']}"
        body = urllib.parse.urlencode({"s": "s1", "action": "shutdown", "b": backend})
        status, headers = side.post("/stats", body)
        return status, headers.get("location"), link.ends(), side.sessions(1)[0].state

    assert play(PLAIN, script, preamble=page_with("stats admin if TRUE")) == (
        303,
        "/stats;st=DONE",
        (b"", "fin"),
        "K-",
    )


def test_scrape_by_the_rules_of_an_exporter() -> None:
    """What prometheus/haproxy_exporter reads (its haproxy_exporter.go): rows of at least 33 columns,
    by place; type 0, 1, 2; numbers or nothing; status `UP`, `UP 1/2`, `OPEN`, `no check`, `DRAIN`."""

    numbers = {
        "frontend": (4, 5, 6, 7, 8, 9, 10, 11, 12, 33, 35),
        "backend": (2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 18, 19, 20, 33, 35),
    }
    numbers["server"] = (2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 18, 21, 22, 24, 33, 35)
    kinds = {"0": "frontend", "1": "backend", "2": "server"}
    up = {
        "UP": 1,
        "UP 1/3": 1,
        "UP 2/3": 1,
        "OPEN": 1,
        "no check": 1,
        "DRAIN": 1,
        "DOWN": 0,
        "DOWN 1/2": 0,
        "NOLB": 0,
        "MAINT": 0,
    }

    def script(side: Side) -> object:
        side.reach()
        text = side.get("/stats;csv")[1].decode()
        metrics = {}
        for row in csv.reader(line for line in text.splitlines() if not line.startswith("#")):
            assert len(row) >= 33, row
            kind = kinds[row[32]]
            label = f"{kind} {row[0]}/{row[1]}"
            metrics[f"{label} up"] = up[row[17]]
            for place in numbers[kind]:
                if row[place] and place not in (33, 35):
                    metrics[f"{label} {place}"] = int(row[place])
        return {key: value for key, value in metrics.items() if " front/" in key}

    assert len(play(PLAIN, script)) == 52


def test_errors_and_aborts_are_told_apart() -> None:
    def script(side: Side) -> object:
        side.connect().ends()  # s1 refuses
        link = side.connect()  # s2
        link.line()
        link.send(b"abc")
        link.ends()
        side.connect().ends()
        reset = side.connect()
        reset.line()
        reset.reset()
        side.sessions(4)
        columns = (
            "stot",
            "econ",
            "eresp",
            "wretr",
            "wredis",
            "cli_abrt",
            "srv_abrt",
            "bin",
            "bout",
            "lbtot",
        )
        return side.figures(*columns), [line.state for line in side.sessions(4)]

    text = TWO % ("retries 0", "", "")
    assert play(text, script, {"s1": None, "s2": closes_after(3)}) == (
        {
            "FRONTEND": ["4", "", "", "", "", "", "", "3", "6", ""],
            "s1": ["2", "2", "0", "0", "0", "0", "0", "0", "0", "2"],
            "s2": ["2", "0", "0", "0", "0", "1", "0", "3", "6", "2"],
            "BACKEND": ["4", "2", "0", "0", "0", "1", "0", "3", "6", "4"],
        },
        ["SC", "--", "SC", "CD"],
    )


def test_rates_count_what_came_in_a_second() -> None:
    def script(side: Side) -> object:
        for _ in range(3):
            side.connect().ends()
        found = side.figures("rate_max", "conn_rate_max")
        return {
            name: [bool(value) and int(value) >= 1 for value in row] for name, row in found.items()
        }

    assert play(PLAIN, script, {"s1": says(b"x"), "s2": says(b"x")}) == {
        "FRONTEND": [True, True],
        "s1": [True, False],
        "s2": [True, False],
        "BACKEND": [True, False],
    }
