"""What differs from HAProxy 2.6 on purpose: each row of the first table of
docs/differences-from-haproxy.md, in its order. A test here fails when its difference is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import Script, play_apart
from support.configuration_verdicts import haproxy_says, rabbitry_says
from support.scripted_servers import listens, says

DOCUMENT = Path(__file__).parents[2] / "docs" / "differences-from-haproxy.md"
PROXY = """
listen front
    bind 127.0.0.1:{front} accept-proxy
    server s1 127.0.0.1:{s1}
"""
ADMIN = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
listen admin
    bind 127.0.0.1:{admin}
    mode http
    stats uri /stats
    stats admin if TRUE
"""
HEAD = """\
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
"""
# By the first column of the table: the lines, HAProxy's exit code with `-c`, ours.
FILES = {
    "`listen NAME ADDR:PORT`": ("listen front 127.0.0.1:20001\n server s1 127.0.0.1:1", 1, 0),
    "`contimeout`, `clitimeout`, `srvtimeout`": (
        "listen front\n bind 127.0.0.1:20001\n contimeout 1000\n server s1 127.0.0.1:1",
        1,
        0,
    ),
    "a number that is none, as in `maxconn many`": (
        "listen front\n bind 127.0.0.1:20001\n maxconn many\n server s1 127.0.0.1:1",
        0,
        2,
    ),
    "`server-template`": (
        "listen front\n bind 127.0.0.1:20001\n server-template s 3 127.0.0.1:1",
        0,
        2,
    ),
    "`tcp-request`, `tcp-response`": (
        "listen front\n bind 127.0.0.1:20001\n tcp-request connection accept\n",
        0,
        2,
    ),
}


def after(*pieces: bytes) -> Script[tuple[str, int]]:
    """A client begins with these pieces: whom the log tells of, and how many connections a server
    has got."""

    def script(side: Side) -> tuple[str, int]:
        link = side.connect()
        for piece in pieces:
            link.send(piece)
            side.pause(0.05)
        link.finish()
        link.ends()
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return side.log.told_of_clients()[0].split(":")[0], len(side.servers["s1"].arrivals)

    return script


@pytest.mark.parametrize("name", FILES)
def test_file(name: str, tmp_path: Path) -> None:
    lines, theirs, ours = FILES[name]
    text = f"{HEAD}{lines}\n"
    assert haproxy_says(text, tmp_path).code == theirs
    assert rabbitry_says(text, tmp_path).code == ours


def test_proxy_header_in_pieces() -> None:
    """HAProxy looks once, we wait for the rest."""
    script = after(b"PROXY TCP4 192.0.2.7 192.0.2.8 43", b"21 5672\r\nhello")
    theirs, ours = play_apart(PROXY, script, {"s1": listens})
    assert theirs == ("127.0.0.1", 0)
    assert ours == ("192.0.2.7", 1)


def test_proxy_header_with_an_address_that_is_none() -> None:
    """HAProxy believes in 192.0.2.777, and takes it for 192.0.5.9."""
    script = after(b"PROXY TCP4 192.0.2.777 192.0.2.8 4321 5672\r\nhello")
    theirs, ours = play_apart(PROXY, script, {"s1": listens})
    assert theirs == ("192.0.5.9", 1)
    assert ours == ("127.0.0.1", 0)


def test_what_an_agent_says_of_a_server_that_is_up() -> None:
    def script(side: Side) -> tuple[str, str, bool]:
        side.figures_when(lambda rows: "L7OK" in rows["s1"][0], "agent_status")
        status, last_agent = side.figures("status", "last_agt")["s1"]
        return status, last_agent, b"low on disk: publishers wait" in side.get("/stats")[1]

    line = "    server s1 127.0.0.1:{s1} check agent-check agent-port {agent} agent-inter 100\n"
    text = f"listen front\n    bind 127.0.0.1:{{front}}\n{line}"
    behaviours = {"s1": listens, "agent": says(b"up # low on disk: publishers wait\n")}
    told = ("UP", "via agent : up (low on disk: publishers wait)")
    assert play_apart(text, script, behaviours) == ((*told, False), (*told, True))


def test_form_that_another_site_has_sent() -> None:
    def script(side: Side) -> tuple[str, str]:
        headers = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        _, answered = side.post("/stats", "s=s1&action=maint&b=front", "admin", headers)
        return answered["location"], side.figures("status")["s1"][0]

    theirs, ours = play_apart(ADMIN, script)
    assert theirs == ("/stats;st=DONE", "MAINT")
    assert ours == ("/stats;st=DENY", "no check")


def test_page_in_a_frame_of_another_site() -> None:
    def script(side: Side) -> list[bool]:
        policies = [
            side.headers("/stats", page).get("content-security-policy", "")
            for page in ("page", "admin")
        ]
        return ["frame-ancestors" in policy for policy in policies]

    theirs, ours = play_apart(ADMIN, script)
    assert theirs == [False, False]
    assert ours == [False, True]


def test_document_has_a_row_for_each() -> None:
    tried = DOCUMENT.read_text().partition("## Tried against both")[2].partition("\n## ")[0]
    rows = [
        line.split(" | ")[0].removeprefix("| ") for line in tried.splitlines() if line[:2] == "| "
    ]
    others = [
        "a PROXY header in pieces",
        "a PROXY header with an address that is none",
        "an agent's text for a server that is up (`up # TEXT`)",
        "a form of the page (`stats admin`) that another site has sent",
        "a page with `stats admin` in a frame of another site",
    ]
    assert rows[2:] == [*FILES, *others]
