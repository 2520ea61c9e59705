"""The statistics page over HTTP, beside HAProxy 2.6: answers, headers, login, actions, counters."""

from __future__ import annotations

import base64
import html
import http.client
import re
import socket
from typing import NamedTuple

import pytest
from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.scripted_links import PATIENCE_S

SERVERS = """
listen front
    bind 127.0.0.1:{front}
    description what is behind it
    server s1 127.0.0.1:{s1} check inter 300 fastinter 50 downinter 50
    server s2 127.0.0.1:{s2} check inter 300 fastinter 50 downinter 50 backup
    server s3 127.0.0.1:{s3}
    server s4 127.0.0.1:{s4} disabled
"""
ADMIN = (
    SERVERS
    + """
listen admin
    bind 127.0.0.1:{admin}
    mode http
    stats uri /stats
    stats refresh 7s
    stats show-legends
    stats admin if TRUE
"""
)
SECRET = (
    SERVERS
    + """
listen secret
    bind 127.0.0.1:{secret}
    mode http
    stats auth ann:s3cret
    stats auth bob:other
    stats realm Our\\ brokers
"""
)


class Answered(NamedTuple):
    """What came of a request."""

    status: int
    headers: dict[str, str]
    body: str


def request(
    side: Side, method: str, target: str, page: str = "page", body: str = "", **headers: str
) -> Answered:
    """Make one request; its headers are given with `_` for `-`."""
    link = http.client.HTTPConnection("127.0.0.1", side.names[page], timeout=PATIENCE_S)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    link.request(method, target, body.encode() or None, given)
    answer = link.getresponse()
    text = side.neutral(answer.read().decode("latin-1"))
    link.close()
    got = {name.lower(): value for name, value in answer.getheaders()}
    return Answered(answer.status, got, text)


def told(answered: Answered) -> tuple[int, dict[str, str]]:
    """The status, and the headers that clients go by."""
    names = ("content-type", "cache-control", "refresh", "location", "www-authenticate")
    headers = {name: answered.headers[name] for name in names if name in answered.headers}
    if "content-type" in headers:
        headers["content-type"] = headers["content-type"].partition(";")[0]
    return answered.status, headers


TARGETS = (
    *("/stats", "/stats;csv", "/stats;json", "/stats;typed", "/stats;json-schema"),
    *("/stats;norefresh", "/statsx;csv", "/stats?x", "/stats/a", "/stat", "/", "/Stats"),
    *("/stats;csv;up", "/stats;st=DONE", "/stats?scope=fr;csv"),
)


def test_what_is_where() -> None:
    def script(side: Side) -> object:
        return [told(request(side, "GET", target, "admin")) for target in TARGETS]

    answers = play(ADMIN, script)
    assert [status for status, _ in answers] == [200] * 9 + [503] * 3 + [200] * 3  # type: ignore[attr-defined]


def test_methods() -> None:
    def script(side: Side) -> object:
        methods = ("HEAD", "PUT", "DELETE", "OPTIONS", "POST")
        return [told(request(side, method, "/stats", "page")) for method in methods]

    answers = play(SERVERS, script)
    assert answers[-1][1]["location"] == "/stats;st=DENY"  # type: ignore[index]


def test_what_nothing_is_at_is_told_in_the_same_words() -> None:
    def script(side: Side) -> object:
        return request(side, "GET", "/nothing").body

    assert "No server is available to handle this request." in str(play(SERVERS, script))


def test_login() -> None:
    def script(side: Side) -> object:
        seen = []
        for account in ("", "ann:s3cret", "bob:other", "ann:other", "ann", "eve:s3cret"):
            given = {}
            if account:
                given["Authorization"] = "Basic " + base64.b64encode(account.encode()).decode()
            answered = request(side, "GET", "/haproxy?stats;csv", "secret", **given)
            body = answered.body if answered.status != 200 else "the page"
            seen.append((account, told(answered), body))
        return seen

    answers = play(SECRET, script)
    assert [told[0] for _, told, _ in answers] == [401, 200, 200, 401, 401, 401]  # type: ignore[attr-defined]


FORMS = (
    *("s=s1&action=drain&b=front", "s=s1&action=ready&b=front", "s=nix&action=maint&b=front"),
    *("s=s1&s=nix&action=maint&b=front", "s=s1&action=frob&b=front", "s=s1&action=&b=front"),
    *("s=s1&action=ready&b=nix", "s=s1&action=ready", "action=ready&b=front", ""),
    *("s=s1&s=s2&action=hdown&b=front", "s=s1&action=hrunn&b=front", "s=s2&action=hnolb&b=front"),
    *("s=s3&action=dhlth&b=front", "s=s1&action=dhlth&b=front", "s=s1&action=ehlth&b=front"),
    *("s=s1&action=dagent&b=front", "s=s1&action=adown&b=front", "s=s1&action=shutdown&b=front"),
    *("s=s1&action=disable&b=front", "s=s1&action=disable&b=front", "s=s1&action=enable&b=front"),
    *("s=%731&action=dr%61in&b=fro%6et", "x=1&s=s1&action=ready&b=front&b=nix"),
    "s=" + "a" * 3000 + "&action=ready&b=front",
    "&".join(["s=s1"] * 5000) + "&action=ready&b=front",
)


def test_forms() -> None:
    def script(side: Side) -> object:
        seen = []
        for form in FORMS:
            answered = request(side, "POST", "/stats;up;norefresh?scope=fr", "admin", form)
            seen.append((form[:40], told(answered), answered.body))
        return seen

    answers = play(ADMIN, script)
    codes = [re.findall("st=(....)", told[1]["location"])[0] for _, told, _ in answers]  # type: ignore[attr-defined]
    assert codes[:4] == ["DONE", "DONE", "ERRP", "PART"]


def test_what_forms_do() -> None:
    def script(side: Side) -> object:
        seen = []
        for action in ("drain", "maint", "ready"):
            request(side, "POST", "/stats", "admin", f"s=s1&s=s3&action={action}&b=front")
            seen.append(side.figures("status", "weight"))
        request(side, "POST", "/stats", "admin", "s=s2&action=dhlth&b=front")
        request(side, "POST", "/stats", "admin", "s=s2&action=hdown&b=front")
        seen.append(side.figures("status")["s2"])
        return seen

    assert play(ADMIN, script)[0]["s1"][0] == "DRAIN"  # type: ignore[index]


def test_kill_sessions() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        name = link.line()
        request(side, "POST", "/stats", "admin", f"s={name}&action=shutdown&b=front")
        # HAProxy counts the page's own client among those that are open.
        return name, link.ends(), side.told(1)[0].replace(" 2/1/", " 1/1/")

    play(ADMIN, script)


def test_messages_and_marks_of_the_page() -> None:
    """The same texts stand on both pages: columns, links, what can be done, what was done."""
    texts = (
        *("Queue", "Session rate", "Dwntme", "Thrtle", "LastChk", "Choose the action to perform"),
        *("Set state to DRAIN", "Health: force NOLB", "Kill Sessions", "Hide 'DOWN' servers"),
        *("Disable refresh", "CSV export", "Action processed successfully.", "what is behind it"),
        *("cap: proxy, mode: tcp", "balancing: roundrobin", "General process information"),
        *("current conns = ", "maxconn = ", "active UP, going down", "id: 3"),
        "Max / Avg over last 1024 success. conn.",
    )

    def script(side: Side) -> object:
        side.figures_when(lambda rows: rows["s1"][0] == "L4OK", "check_status")
        body = request(side, "GET", "/stats;st=DONE", "admin").body
        links = re.findall(r'href="(/stats[^"]*)"', body)
        classes = re.findall(r'<tr class="?((?!titre)\w+)"?>', body)
        values = re.findall(r'<option value="(\w*)">', body)
        hidden = re.findall(r'<input type="hidden" name="b" value="([^"]*)">', body)
        names = re.findall(r'type="checkbox" name="s" value="(\w+)"', body)
        found = [text for text in texts if text in body]
        return found, sorted(set(links)), classes, values, hidden, names

    found, _, classes, _, _, names = play(ADMIN, script)  # type: ignore[misc]
    assert found == list(texts)
    assert "active_up" in classes
    assert names == ["s1", "s2", "s3", "s4"]


def test_a_row_tells_what_it_tells() -> None:
    """The texts of every cell of the tables, hovering included, but for times."""

    def script(side: Side) -> object:
        side.reach()
        side.figures_when(lambda rows: rows["s2"][0] == "L4OK", "check_status")
        body = request(side, "GET", "/stats", "admin").body
        table = body[body.index('name="front/Frontend"') : body.index('name="front/s4"')]
        rows = re.split(r"<tr class=\"?\w+\"?>", table)
        cells = [_texts_of_cells(row) for row in rows]
        for rate, row in zip((2, 6, 6, 6), cells, strict=False):
            del row[rate]  # of the second that is passing
        return cells

    play(ADMIN, script)


STATES = """
listen front
    bind 127.0.0.1:{front}
    server checked 127.0.0.1:{s1} check inter 1s
    server spare 127.0.0.1:{s1} check inter 1s backup
    server plain 127.0.0.1:{s1}
    server off 127.0.0.1:{s1} disabled
    server tracking 127.0.0.1:{s1} track front/checked
    server weightless 127.0.0.1:{s1} check inter 1s weight 0
    server gone 127.0.0.1:{s2} check inter 300 fastinter 50
    server sparegone 127.0.0.1:{s2} check inter 300 fastinter 50 backup
    server sinking 127.0.0.1:{s3} check inter 100 fall 1000
    server rising 127.0.0.1:{s4} check inter 100 rise 1000
"""


def test_states_on_the_page() -> None:
    """Colour and status of a server in each state, and of what is forced upon it."""

    def script(side: Side) -> object:
        side.figures_when(lambda rows: rows["sinking"] == ["L4OK"], "check_status")
        side.figures_when(lambda rows: rows["rising"] == ["DOWN"], "status")
        for gone in ("gone", "sparegone"):
            side.notices(1, f"front/{gone} is DOWN")
        side.servers["s3"].go()
        side.servers["s4"].come()
        side.figures_when(lambda rows: "/1000" in rows["sinking"][0], "status")
        side.figures_when(lambda rows: "/1000" in rows["rising"][0], "status")
        seen = [_colours_and_states(side)]
        for names, actions in (
            (("checked", "spare"), ("maint", "ready", "dhlth", "hnolb", "hdown", "hrunn")),
            (("plain", "sinking", "gone", "off"), ("drain", "ready")),
        ):
            form = "&".join(f"s={name}" for name in names)
            for action in actions:
                side.post("/stats", f"{form}&action={action}&b=front", "page")
                seen.append(_colours_and_states(side))
        return seen

    admin = PREAMBLE.replace("stats uri /stats", "stats uri /stats\n    stats admin if TRUE")
    seen = play(STATES, script, {"s2": None, "s4": None}, preamble=admin)
    assert seen[0]["sinking"] == ("active_going_down", "N UP some of 1000 ↓")  # type: ignore[index]


def _colours_and_states(side: Side) -> dict[str, tuple[str, str]]:
    """The class of each row of servers, and the cell that tells its state."""
    body = html.unescape(side.get("/stats")[1].decode("utf-8"))
    found = {}
    for colour, row in _rows(body):
        if not re.match("active|backup_|maintain", colour):
            continue
        cells = _texts_of_cells(row)
        name = re.findall(r'name="s" value="(\w+)"', row)[0]
        state = next(cell for cell in cells if re.match("N [A-Z]|no check", cell))
        found[name] = colour, re.sub(r"\d+/1000", "some of 1000", state)
    return found


def _rows(body: str) -> list[tuple[str, str]]:
    """The rows of the tables: class, and markup."""
    _, *parts = re.split(r'<tr class="?(\w+)"?>', body)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _texts_of_cells(row: str) -> list[str]:
    row = re.sub(r"<table class=\"?det\"?>.*?</table>", "", row)
    row = re.sub(r"<div class=\"?tips\"?>(.*?)</div>", r" \1", row)
    cells = [re.sub(r"<[^>]*>|&nbsp;", "", cell) for cell in re.split(r"<t[dh][^>]*>", row)]
    return [re.sub(r"\b(?:\d+[dhms])+\b|\d+ms", "N", cell).strip() for cell in cells]


def test_hiding_and_looking() -> None:
    def script(side: Side) -> object:
        side.notices(1, "is DOWN")
        side.figures_when(lambda found: found["s2"][0] == "UP", "status")
        seen = []
        for options in (
            ";csv;up",
            ";csv;no-maint",
            ";csv?scope=FRO",
            ";csv?scope=pag",
            ";csv?scope=%",
        ):
            lines = request(side, "GET", f"/stats{options}").body.splitlines()[1:]
            cells = [line.split(",") for line in lines]
            seen.append([(each[0], each[1], each[17]) for each in cells])
        return seen

    play(SERVERS, script, {"s1": None})


COUNTED = (
    *("scur", "stot", "ereq", "status", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx"),
    *("hrsp_4xx", "hrsp_5xx", "hrsp_other", "req_tot", "conn_tot", "intercepted", "econ"),
    *("dreq", "dresp", "dcon", "dses", "h1_total_connections", "h1_total_streams"),
)


def test_what_is_counted_of_a_page() -> None:
    def script(side: Side) -> object:
        for method, target in (
            *(("GET", "/stats"), ("GET", "/stats;csv"), ("HEAD", "/stats")),
            *(("POST", "/stats"), ("GET", "/x"), ("PUT", "/stats")),
        ):
            request(side, method, target, "admin")
        with socket.create_connection(("127.0.0.1", side.names["admin"]), PATIENCE_S) as bad:
            bad.sendall(b"this is no request\r\n\r\n")
            assert bad.recv(65536).startswith(b"HTTP/1.1 400 ")
        return side.figures(*COUNTED, proxy="admin")

    play(ADMIN, script)


def test_several_requests_on_a_connection() -> None:
    def script(side: Side) -> object:
        link = http.client.HTTPConnection("127.0.0.1", side.names["admin"], timeout=PATIENCE_S)
        for _ in range(3):
            link.request("GET", "/stats;csv")
            link.getresponse().read()
        found = side.figures("scur", "stot", "req_tot", proxy="admin")["FRONTEND"]
        link.close()
        return found

    assert play(ADMIN, script) == ["1", "1", "3"]


@pytest.mark.parametrize("uri", ["", "stats uri /a;b?c"])
def test_uris(uri: str) -> None:
    text = f"listen own\n    bind 127.0.0.1:{{own}}\n    mode http\n    stats enable\n    {uri}\n"

    def script(side: Side) -> object:
        targets = ("/haproxy?stats", "/haproxy?statsx", "/haproxy", "/a;b?c;csv", "/a;b")
        return [request(side, "GET", target, "own").status for target in targets]

    play(text, script)


def test_a_frontend_that_has_its_page_from_a_backend() -> None:
    text = """
frontend web
    bind 127.0.0.1:{web}
    bind 127.0.0.1:{web2}
    bind {unix_web}
    mode http
    default_backend page2
backend page2
    mode http
    stats enable
    stats uri /s
"""

    def script(side: Side) -> object:
        seen = [request(side, "GET", "/s;csv", page).status for page in ("web", "web2")]
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(PATIENCE_S)
            link.connect(str(side.names["unix_web"]))
            link.sendall(b"GET /s;csv HTTP/1.0\r\n\r\n")
            seen.append(int(link.recv(65536).split()[1]))
        return seen, side.figures("stot", "req_tot", proxy="web")

    play(text, script)


def test_a_page_in_a_tcp_section_is_not_served() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        return link.line(), side.rows()[("front", "FRONTEND")]["mode"]

    play(SERVERS.replace("    description", "    stats enable\n    description"), script)


def test_rows_of_sockets() -> None:
    text = """
listen front
    bind 127.0.0.1:{front} name first
    bind 127.0.0.1:{second} id 77
    bind {unix_third}
    option socket-stats
    server s1 127.0.0.1:{s1}
"""
    columns = (
        *("scur", "smax", "slim", "stot", "bin", "bout"),
        *("dreq", "ereq", "status", "type", "sid"),
    )

    def script(side: Side) -> object:
        side.reach("front")
        side.reach("unix_third")
        side.reach("front")
        side.reach("second")
        body = request(side, "GET", "/stats").body
        rows = [_texts_of_cells(row) for kind, row in _rows(body) if kind == "socket"]
        return side.figures(*columns), rows

    figures, rows = play(text, script)  # type: ignore[misc]
    assert figures["first"][3] == "2"
    assert len(rows) == 3
