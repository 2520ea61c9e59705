"""Files that are no UTF-8, beside HAProxy 2.6, which takes any bytes: what becomes of them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.configuration_verdicts import haproxy_says, rabbitry_says
from support.running_cluster import RABBITRY
from support.scripted_links import Link
from support.scripted_servers import says

E = "\udce9"  # a byte of Latin-1, as Python keeps it
TEXT = f"""
# fran{E}ais
listen front
    bind 127.0.0.1:{{front}}
    description caf{E}
    log-tag caf{E}
    option tcp-check
    tcp-check expect string caf{E}
    server s1 127.0.0.1:{{s1}} check inter 100
listen secret
    bind 127.0.0.1:{{secret}}
    mode http
    stats enable
    stats uri /stats
    stats show-desc  bar{E}
    stats auth ann:caf{E}
    stats realm caf{E}
"""


def test_words_mean_their_bytes() -> None:
    def greets(link: Link) -> None:
        says(b"caf\xe9\n")(link)  # type: ignore[arg-type]

    def script(side: Side) -> object:
        side.figures_when(lambda rows: rows["s1"] == ["L7OK"], "check_status")
        link = side.connect()
        told = link.exactly(4)
        link.close()
        side.sessions(1)
        tag = next(packet for packet in side.log.packets if "front/s1" in packet)
        login = base64.b64encode(b"ann:caf\xe9").decode()
        headers = {"Authorization": f"Basic {login}"}
        status, page = side.get("/stats", "secret", headers)
        asked = side.headers("/stats", "secret")["www-authenticate"]
        info = f"caf{E}" in side.ask("show info")
        return told, " caf\ufffd[" in tag, status, b"bar\xe9" in page, asked, info

    preamble = PREAMBLE.replace("global\n", f"global\n    description caf{E}\n", 1)
    assert play(TEXT, script, {"s1": greets}, preamble=preamble) == (
        *(b"caf\xe9", True, 200, True),
        *('Basic realm="caf\xe9"', True),
    )


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    text = "# caf\udce9\nglobal\n caf\udce9\n"
    ours, theirs = rabbitry_says(text, tmp_path), haproxy_says(text, tmp_path)
    assert ours.lines == theirs.lines == [3]


def test_rendering_says_the_same_to_haproxy(tmp_path: Path) -> None:
    lines = TEXT.format(front=20001, s1=20002, secret=20003)
    path = tmp_path / "a.cfg"
    head = "defaults\n mode tcp\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n"
    path.write_bytes((head + lines).encode("utf-8", "surrogateescape"))
    command = [*RABBITRY, "balance", str(path), "--render"]
    done = subprocess.run(command, check=True, capture_output=True)
    rendered = done.stdout.decode(errors="surrogateescape")
    assert haproxy_says(rendered, tmp_path).code == 0
    assert rabbitry_says(rendered, tmp_path).code == 0
    wrong = tmp_path / "wrong.cfg"
    wrong.write_bytes(b"caf\xe9\n")
    failed = subprocess.run([*RABBITRY, "balance", str(wrong)], capture_output=True)
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"{wrong}:1: 'caf".encode())
