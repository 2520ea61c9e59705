"""The balancer as a process: the classic listing before three toy servers, and what goes wrong."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.balancer_processes import COMMAND, PATIENCE_S, Process, ToyServer, connect
from support.certificates import Certificates

from bench.ports import free_ports
from rabbitry.console.balancer_process import check, main

CLASSIC = """\
global
    log stderr local0 info
    maxconn 4096
    stats socket /tmp/haproxy.socket uid haproxy mode 770 level admin
    daemon
defaults
    log global
    mode tcp
    option tcplog
    option dontlognull
    retries 3
    option redispatch
    maxconn 2000
    timeout connect 5s
    timeout client 120s
    timeout server 120s
listen rabbitmq_local_cluster 127.0.0.1:{front}
    mode tcp
    balance roundrobin
    server rabbit 127.0.0.1:{rabbit} check inter 200 rise 2 fall 3
    server rabbit_1 127.0.0.1:{rabbit_1} check inter 200 rise 2 fall 3
    server rabbit_2 127.0.0.1:{rabbit_2} check inter 200 rise 2 fall 3
listen private_monitoring 127.0.0.1:{page}
    mode http
    option httplog
    stats enable
    stats uri /stats
    stats refresh 5s
"""
FOR_WHOMEVER = (
    # Whether the user may read this Python, and so start workers anew, depends on the machine.
    *(sys.executable, "-c"),
    "import sys; from rabbitry.console.balancer_process import main;"
    "from rabbitry.runtime import balancer_process as it;"
    "it.forbidden_file = lambda: None; sys.exit(main(sys.argv[1:]))",
)
SERVERS = ("rabbit", "rabbit_1", "rabbit_2")


@pytest.fixture
def ports() -> dict[str, int]:
    """Free ports, all different."""
    return {name: free_ports() for name in ("front", "page")}


@pytest.fixture
def servers() -> Iterator[dict[str, ToyServer]]:
    made = {name: ToyServer(name) for name in SERVERS}
    yield made
    for server in made.values():
        server.die()


@pytest.fixture
def classic(tmp_path: Path, ports: dict[str, int], servers: dict[str, ToyServer]) -> Path:
    path = tmp_path / "classic.cfg"
    places = {name: server.port for name, server in servers.items()}
    path.write_text(CLASSIC.format(**ports, **places))
    return path


@pytest.fixture
def balancer(classic: Path) -> Iterator[Process]:
    started = Process(classic)
    yield started
    if started.process.poll() is None:
        started.process.kill()
    started.process.communicate(timeout=PATIENCE_S)


def names_of(port: int, count: int) -> list[str]:
    found = []
    for _ in range(count):
        link, name = connect(port)
        link.close()
        found.append(name)
    return found


def read(port: int, target: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{target}", timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
        return text


def status_of(port: int, server: str) -> str:
    rows = csv.DictReader(read(port, "/stats;csv").removeprefix("# ").splitlines())
    return next(row["status"] for row in rows if row["svname"] == server)


@pytest.mark.processes
def test_in_a_terminal_it_says_when_it_serves(classic: Path, ports: dict[str, int]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--config", str(classic)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().decode() == (
            f"ready: rabbitmq_local_cluster at 127.0.0.1:{ports['front']}, "
            f"private_monitoring at 127.0.0.1:{ports['page']}\n"
        )
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_the_classic_listing_end_to_end(
    balancer: Process, ports: dict[str, int], servers: dict[str, ToyServer]
) -> None:
    assert balancer.said == {
        "ready": {
            "listeners": {
                "rabbitmq_local_cluster": f"127.0.0.1:{ports['front']}",
                "private_monitoring": f"127.0.0.1:{ports['page']}",
            }
        }
    }
    front, page = ports["front"], ports["page"]
    assert names_of(front, 6) == [*SERVERS, *SERVERS]
    link, name = connect(front)
    assert name == "rabbit"
    link.sendall(b"x" * 1_000_000)
    link.shutdown(socket.SHUT_WR)
    with link.makefile("rb") as stream:
        assert stream.read() == b"x" * 1_000_000
    link.close()

    port = servers["rabbit_1"].port
    servers["rabbit_1"].die()
    # Nobody has to wait for the checks: who was sent there is sent on.
    assert set(names_of(front, 6)) == {"rabbit", "rabbit_2"}
    line = balancer.wait_for("is DOWN")
    assert "Server rabbitmq_local_cluster/rabbit_1 is DOWN" in line
    assert 'info: "Connection refused"' in line
    assert "2 active and 0 backup servers left." in line
    assert status_of(page, "rabbit_1") in ("DOWN", "DOWN 1/2")
    assert 'class="active_down"' in read(page, "/stats")

    servers["rabbit_1"] = ToyServer("rabbit_1", port)
    assert "rabbit_1 is UP, reason: Layer4 check passed" in balancer.wait_for("is UP")
    assert status_of(page, "rabbit_1") == "UP"
    assert set(names_of(front, 3)) == set(SERVERS)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        read(page, "/")
    assert balancer.end() == 0


@pytest.mark.processes
def test_a_session_of_a_dead_server_ends(
    balancer: Process, ports: dict[str, int], servers: dict[str, ToyServer]
) -> None:
    link, name = connect(ports["front"])
    servers[name].die()
    assert link.recv(1) == b""
    link.close()


@pytest.mark.processes
def test_it_goes_with_its_supervisor(classic: Path) -> None:
    supervised = Process(classic, "--supervised")
    assert "ready" in supervised.said
    assert supervised.process.stdin is not None
    supervised.process.stdin.close()
    assert supervised.process.wait(PATIENCE_S) == 0
    assert supervised.process.stderr is not None
    supervised.process.stderr.close()


@pytest.mark.processes
def test_sigint_ends_it_in_order(balancer: Process) -> None:
    balancer.process.send_signal(signal.SIGINT)
    _, log = balancer.process.communicate(timeout=PATIENCE_S)
    assert balancer.process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.processes
def test_a_port_in_use_is_one_line_and_exit_code_2(classic: Path, ports: dict[str, int]) -> None:
    with socket.create_server(("127.0.0.1", ports["page"])):
        command = [*COMMAND, "--config"]
        ended = subprocess.run(
            [*command, str(classic)], capture_output=True, text=True, check=False
        )
    errors = [line for line in ended.stderr.splitlines() if " warning " not in line]
    assert errors == [
        f"rabbitry: cannot listen on 127.0.0.1:{ports['page']} (private_monitoring): "
        "Address already in use"
    ]
    assert ended.returncode == 2


def test_every_mistake_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.cfg"
    path.write_text("listen a 127.0.0.1:1\n  frob\n  timeout connect x\n")
    assert main(["--config", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:2", f"{path}:3"]


def test_the_supervisor_hears_of_mistakes_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.cfg"
    path.write_text("frob\nfrob\n")
    reading, writing = os.pipe()
    assert main(["--config", str(path), "--ready-fd", str(writing)]) == 2
    with os.fdopen(reading) as said:
        text = said.read()
    assert text.count("\n") == 1
    assert "; " in json.loads(text)["failed"]


def test_files_can_be_checked_and_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "right.cfg"
    path.write_text("listen a 127.0.0.1:1\nserver s 127.0.0.1:2\n")
    assert check([path]) == 0
    assert capsys.readouterr().out.endswith("(frontends: 1, servers: 1, warnings: 2)\n")
    assert check([path], rendered=True) == 0
    assert "    server s 127.0.0.1:2\n" in capsys.readouterr().out
    path.write_text("frob\n")
    for rendered in (False, True):
        assert check([path], rendered=rendered) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"{path}:1: 'frob'")


def test_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--config FILE" in capsys.readouterr().err


def rights_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return {name: words[name] for name in ("Uid", "Gid", "Groups", "CapPrm", "CapEff")}


@pytest.fixture
def as_nobody(tmp_path: Path, ports: dict[str, int], servers: dict[str, ToyServer]) -> Path:
    """A balancer of three processes that become somebody, with a key that only root may read."""
    certificates = Certificates(tmp_path)
    pem = tmp_path / "secret.pem"
    pem.write_text(Path(certificates.cert).read_text() + Path(certificates.key).read_text())
    pem.chmod(0o600)
    path = tmp_path / "nobody.cfg"
    path.write_text(f"""
global
    uid 65534
    gid 65533
    nbthread 3
listen front
    bind 127.0.0.1:{ports["front"]}
    server rabbit 127.0.0.1:{servers["rabbit"].port}
listen secure
    bind 127.0.0.1:{ports["page"]} ssl crt {pem}
    server rabbit 127.0.0.1:{servers["rabbit"].port}
""")
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_no_process_serves_as_root(as_nobody: Path, ports: dict[str, int]) -> None:
    it = Process(as_nobody, command=FOR_WHOMEVER)
    try:
        first = it.process.pid
        workers = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        assert len(workers) == 2
        for pid in (first, *map(int, workers)):
            assert rights_of(pid) == {
                "Uid": ["65534"] * 4,
                "Gid": ["65533"] * 4,
                "Groups": [],
                "CapPrm": ["0" * 16],
                "CapEff": ["0" * 16],
            }
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with contextlib.ExitStack() as stack:
            for _ in range(30):  # some for each process
                link, name = connect(ports["front"])
                stack.enter_context(link)
                assert name == "rabbit"
                plain = socket.create_connection(("127.0.0.1", ports["page"]), 10)
                link = stack.enter_context(context.wrap_socket(plain))
                assert link.recv(7) == b"rabbit\n"
    finally:
        it.process.terminate()
        assert it.process.wait(10) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_user_that_cannot_start_workers_anew_is_refused(
    as_nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").touch(0o600)  # a part of this program, for root alone
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{path}")
    # Where another one listens, it goes on doing so.
    stats = tmp_path / "stats"
    as_nobody.write_text(as_nobody.read_text().replace("global", f"global\n stats socket {stats}"))
    command = [*COMMAND, "--config", str(as_nobody)]
    with socket.socket(socket.AF_UNIX) as running:
        running.bind(str(stats))
        running.listen()
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(stats))
    assert not list(tmp_path.glob("stats.*"))
    assert (done.returncode, done.stdout) == (2, "")
    *warnings, line = done.stderr.splitlines()
    assert all("timeout" in warning for warning in warnings), warnings
    assert "user 65534 and group 65533 may not use /" in line
    assert line.endswith("where everybody may read it, or take 'nbthread' out of 'global'")
