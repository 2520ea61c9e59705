"""One balancer, HAProxy or ours, on a file of a scenario, with servers, clients and log around it.

Owns `Side`: what a scenario's script holds to speak to one of the two. The file is a text with
names in braces: `{front}` is a port, the same all through the scenario; `{socket}` the runtime
socket, `{log}` the port of the syslog catcher, `{dir}` a directory. Does not own the comparison
(`beside_haproxy`).
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.haproxy_lines import SessionLine, SyslogCatcher, read_session_line, without_durations
from support.scripted_links import PATIENCE_S, Link
from support.scripted_servers import Behaviour, ScriptedServer, greets
from support.warm_balancer import WarmBalancers

from bench.ports import free_ports

HAPROXY = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
START_S = 20.0
POLL_S = 0.01
ACCEPTS = 0x10000
"""`__SO_ACCEPTCON` among the flags of a row of /proc/net/unix."""

Row = dict[str, str]


class Names(dict[str, Any]):
    """What the braces of a file mean. A name not heard of before is a free port, or with `unix_` in
    front the path of a socket."""

    def __missing__(self, name: str) -> Any:
        self[name] = self["dir"] / name if name.startswith("unix_") else free_ports()
        return self[name]


class Side:
    """A balancer of a scenario; `who` is "haproxy" or "rabbitry"."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.directory = Path(tempfile.mkdtemp(prefix=f"beside-{who}-"))
        self.log = SyslogCatcher()
        self.names = Names(log=self.log.port, socket=self.directory / "admin", dir=self.directory)
        self.servers: dict[str, ScriptedServer] = {}
        self.process: int | None = None
        self.printed: list[str] = []
        self.ended = threading.Event()
        self._popen: subprocess.Popen[bytes] | None = None
        self._links: list[Link] = []

    # --- before it starts ------------------------------------------------------------------------

    def set_up(self, text: str, behaviours: Mapping[str, Behaviour | str | None]) -> None:
        """Start a server for each `server NAME ...{PLACE}` of the text: named in `behaviours`, or
        else one that greets. None: it refuses; "hangs": its connects go unanswered."""
        for line in re.findall(r"^\s*server\s.*$", text, re.M):
            found = re.match(r"\s*server\s+\S+\s+(\S*?):?\{(\w+)\}", line)
            if found and found[2] not in self.servers:
                self.serve(found[2], behaviours.get(found[2], greets), found[1].strip("[]"))
        for place, behaviour in behaviours.items():
            if place not in self.servers:
                self.serve(place, behaviour)

    def serve(
        self, place: str, behaviour: Behaviour | str | None = greets, host: str = "127.0.0.1"
    ) -> ScriptedServer:
        """A server at `{place}`."""
        where = self.names[place]
        if isinstance(where, int):
            server = ScriptedServer(place, greets, where, host)
        else:
            server = ScriptedServer(place, greets, 0, str(where))
        self.servers[place] = server
        if callable(behaviour):
            server.behaviour = behaviour
            server.come()
        elif behaviour == "hangs":
            server.hang()
        return server

    def file(self, text: str, name: str = "balancer.cfg") -> Path:
        """Write a file with what its braces mean here."""
        path = self.directory / name
        text = textwrap.dedent(text.format_map(self.names)).rstrip() + "\n"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return path

    def start(self, text: str) -> None:
        """Run it on this file; return when it listens wherever the file says."""
        path = self.file(text)
        output = self.directory / "printed"
        os.mkfifo(output)
        threading.Thread(target=self._read_printed, args=(output,), daemon=True).start()
        if self.who == "rabbitry":
            self.process = _warm.start(["balance", "--config", str(path)], output)
        else:
            # One thread: what happens first has happened first.
            alone = self.file("global\n    nbthread 1\n", "alone.cfg")
            command = [str(HAPROXY), "-db", "-f", str(alone), "-f", str(path)]
            with output.open("w") as file:
                self._popen = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
            self.process = self._popen.pid
        waited_for = _listeners(path.read_text(errors="surrogateescape"))
        self.until(
            lambda: all(map(_listens, waited_for)) or self.ended.is_set(), "listening", START_S
        )
        assert not self.ended.is_set(), f"{self.who} ended at once:\n" + "\n".join(self.printed)

    # --- clients ---------------------------------------------------------------------------------

    def connect(
        self,
        place: str = "front",
        *,
        host: str = "127.0.0.1",
        source: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> Link:
        """A client's link to `{place}`; from the address `source`, if given."""
        where = self.names[place]
        sock: socket.socket
        if isinstance(where, int):
            sock = socket.create_connection(
                (host, where), PATIENCE_S, (source, 0) if source else None
            )
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(where))
        if tls is not None:
            sock.settimeout(PATIENCE_S)
            sock = tls.wrap_socket(sock, server_hostname="127.0.0.1")
        link = Link(sock)
        self._links.append(link)
        return link

    def reach(self, place: str = "front", *, source: str = "") -> str:
        """The name of the server that a new client of `{place}` reaches; it goes again, and the
        balancer has logged that it is gone when this returns."""
        before = len(self.sessions(0))
        link = self.connect(place, source=source)
        name = link.line()
        link.close()
        self.sessions(before + 1)
        return name

    def pause(self, seconds: float) -> None:
        """Let time pass: for what shows itself by not happening."""
        time.sleep(seconds)

    # --- what it says ----------------------------------------------------------------------------

    def sessions(self, count: int) -> list[SessionLine]:
        """Wait for so many lines of sessions in the log, but those of the statistics page; all
        there are, in order."""

        def which(lines: list[str]) -> list[SessionLine]:
            read = map(read_session_line, lines)
            return [line for line in read if line is not None and line.server != "<STATS>"]

        what = f"session number {count}"
        return which(self.log.wait(lambda lines: len(which(lines)) >= count, what))

    def told(self, count: int) -> list[str]:
        """Like `sessions`, as comparable texts."""
        return [line.told for line in self.sessions(count)]

    def notices(self, count: int, about: str = "") -> list[str]:
        """Wait for so many lines with `about` in them that are of no session; all there are,
        without durations."""

        def which(lines: list[str]) -> list[str]:
            others = [line for line in lines if read_session_line(line) is None]
            found = [line for line in others if about in line]
            return [without_durations(self.neutral(line)) for line in found]

        what = f"notice number {count} {about}"
        return which(self.log.wait(lambda lines: len(which(lines)) >= count, what))

    def rows(self, page: str = "page") -> dict[tuple[str, str], Row]:
        """The statistics, by names of proxy and server."""
        text = self.get("/stats;csv", page)[1].decode()
        reader = csv.DictReader(self.neutral(text).removeprefix("# ").splitlines())
        return {(row["pxname"], row["svname"]): row for row in reader}

    def figures(self, *columns: str, proxy: str = "front") -> dict[str, list[str]]:
        """These columns of every row of `proxy`, by its second name."""
        return {
            name: [row[column] for column in columns]
            for (owner, name), row in self.rows().items()
            if owner == proxy
        }

    def figures_when(
        self, enough: Callable[[dict[str, list[str]]], bool], *columns: str
    ) -> dict[str, list[str]]:
        """Wait until these columns of `front` are as wanted."""
        found: dict[str, list[str]] = {}

        def look() -> bool:
            found.clear()
            found.update(self.figures(*columns))
            return enough(found)

        self.until(look, f"figures {columns}, last {found}")
        return found

    def get(
        self, path: str, page: str = "page", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of a page at `{page}`."""
        status, _, body = self._request("GET", path, page, headers=dict(headers or {}))
        return status, body

    def headers(self, path: str, page: str = "page") -> dict[str, str]:
        """The headers with which a page is answered, by names in lower case."""
        return self._request("GET", path, page)[1]

    def post(
        self, path: str, body: str, page: str = "page", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer to a form."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._request("POST", path, page, body, form)[:2]

    def _request(
        self,
        method: str,
        path: str,
        page: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.names[page], timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def ask(self, *commands: str) -> str:
        """What the runtime socket answers to these commands, without the empty line at the end."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self.names["socket"]))
            sock.sendall((";".join(commands) + "\n").encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return self.neutral(answer.decode(errors="surrogateescape")).strip("\n")

    def ask_json(self, command: str) -> Any:
        """The answer to a command that answers JSON."""
        return json.loads(self.ask(command))

    def neutral(self, text: str) -> str:
        """The text with the names of the scenario for ports and places of this side."""
        for name, where in self.names.items():
            if name != "dir":
                text = re.sub(rf"(?<!\d){re.escape(str(where))}(?!\d)", f"{{{name}}}", text)
        return text.replace(str(self.directory), "{dir}")

    def until(self, so: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until something is so that nobody announces."""
        give_up = time.monotonic() + patience_s
        while not so():
            assert time.monotonic() < give_up, f"{self.who}: not {what}\n" + "\n".join(self.printed)
            time.sleep(POLL_S)

    # --- its end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End all of it."""
        for link in self._links:
            link.close()
        if self.process is not None and not self.ended.is_set():
            os.kill(self.process, signal.SIGKILL)
            self.ended.wait(PATIENCE_S)
        if self._popen is not None:
            self._popen.wait()
        for server in self.servers.values():
            server.close()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _read_printed(self, output: Path) -> None:
        with output.open() as file:
            for line in file:
                self.printed.append(line.rstrip("\n"))
                self._take_printed(line)
        self.ended.set()

    def _take_printed(self, line: str) -> None:
        # Until ours speaks syslog: the same lines stand on its standard error.
        found = re.match(r"\d{4}-\S+ [\d:,]+ (?:info|warning|error) (.*)", line)
        if self.who == "rabbitry" and found and str(self.directory) not in line:
            self.log.add(found[1])


_warm = WarmBalancers()
atexit.register(_warm.close)


def _listeners(text: str) -> list[str]:
    """Where a file says that somebody listens: not in sections that are disabled."""
    sections = re.split(r"^(?=\s*(?:global|defaults|listen|frontend|backend)\b)", text, flags=re.M)
    return [
        place
        for section in sections
        if not re.search(r"^\s*disabled\s*$", section, re.M)
        for bind in re.findall(r"^\s*(?:bind|stats socket)\s+(\S+)", section, re.M)
        for place in bind.split(",")
    ]


def _listens(place: str) -> bool:
    """Whether somebody listens at `HOST:PORT` or at a Unix socket, without connecting to it."""
    if "/" in place:
        path = place.split("@")[-1]
        # HAProxy binds another name, gives it this one, and listens only then.
        rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        listening = [row[7] for row in rows if len(row) > 7 and int(row[3], 16) & ACCEPTS]
        return any(name == path or name.startswith(f"{path}.") for name in listening)
    port = int(place.rpartition(":")[2])
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False
