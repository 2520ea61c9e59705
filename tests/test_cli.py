"""The command line: help with an example in every command, errors of one line, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rabbitry import cli
from rabbitry.runtime import control
from rabbitry.runtime.errors import UserError

COMMANDS = [
    "up",
    "status",
    "kill",
    "start",
    "restart",
    "rebalance",
    "stop",
    "backup",
    "restore",
    "node",
    "balance",
]
GROUPS = {
    "users": [
        "list",
        "add",
        "delete",
        "change-password",
        "set-tags",
        "set-permissions",
        "clear-permissions",
        "set-topic-permissions",
        "clear-topic-permissions",
        "list-permissions",
    ],
    "vhosts": ["list", "add", "delete"],
    "policies": ["list", "set", "delete"],
    "limits": ["list", "set-vhost", "set-user"],
    "definitions": ["export", "import"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([command, "--help"]) == 0
    assert f"Example: rabbitry {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("group", "command"), [(group, one) for group, found in GROUPS.items() for one in found]
)
def test_help_of_every_command_of_a_group_has_an_example(
    group: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([group, command, "--help"]) == 0
    assert f"Example: rabbitry {group} {command}" in capsys.readouterr().out


def test_every_option_that_the_readme_names_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    groups = [[group, one] for group, found in GROUPS.items() for one in found]
    for command in [*([one] for one in COMMANDS), *groups]:
        assert cli.run([*command, "--help"]) == 0
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) | {"--help"}
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", readme))
    assert {"--tls-cert", "--balancer-tls-port", "--disk-free-limit"} <= named
    assert named <= known


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f" {command} " in out for command in [*COMMANDS, *GROUPS])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["frob"], 2, "frob"),
        (["kill"], 2, "NODE"),
        (["kill", "rabbit", "--signal", "HUP"], 2, "HUP"),
        (["up", "--port", "0"], 2, "--port"),
        (["up", "--port", "65535"], 2, "lower --port"),
        (["up", "--nodes", "0"], 2, "--nodes"),
        (["up", "--nodes", "3.5"], 2, "--nodes"),
        (["up", "--consumer-timeout-ms", "3.5"], 2, "--consumer-timeout-ms"),
        (["up", "--port", "x"], 2, "--port"),
        (["up", "--balancer-port", "5673"], 2, "port 5673 is wanted for node rabbit_1 and for the"),
        (["up", "--stats-port", "5670"], 2, "port 5670 is wanted for the balancer and for the"),
        (["node", "--listen", "5672"], 2, "HOST:PORT"),
        (["node", "--consumer-timeout-ms", "-1"], 2, "--consumer-timeout-ms"),
        (["node", "--tls-listen", "5671"], 2, "--tls-listen 5671"),
        (["node", "--tls-cert", "/no/such/file"], 2, "cannot use certificate /no/such/file"),
        (["up", "--tls-port", "65535"], 2, "lower --tls-port"),
        (["node", "--listen", "127.0.0.1:70000"], 2, "HOST:PORT"),
        (["balance"], 2, "name a file"),
        (["balance", "-c", "/no/such/file"], 2, "/no/such/file"),
        (["balance", "-f", "/no/such/file", "--render"], 2, "/no/such/file"),
        (["balance", "--config", "/no/such/file"], 2, "/no/such/file"),
        (["up", "--data-dir", ""], 2, "--data-dir is empty"),
        (["status"], 1, "no Rabbitry is running in"),
        (["kill", "rabbit"], 1, "no Rabbitry is running in"),
        (["start", "rabbit"], 1, "no Rabbitry is running in"),
        (["rebalance"], 1, "no Rabbitry is running in"),
        (["rebalance", "a"], 2, "'a' is more than this command takes; see `rabbitry rebalance -"),
        (["stop", "a", "b"], 2, "'a', 'b' are more than this command takes; see `rabbitry stop"),
        (["stop"], 1, "no Rabbitry is running in"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    arguments: list[str],
    exit_code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("RABBITRY_DATA_DIR", str(tmp_path))
    assert cli.run(arguments) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["frob"], "rabbitry"),
        (["users", "frob"], "rabbitry users"),
        (["users", "add"], "rabbitry users add"),
        (["users", "add", "a", "--frob"], "rabbitry users add"),
        (["up", "--port", "x"], "rabbitry up"),
        (["up", "--port", "0"], "rabbitry up"),
        (["stop", "now"], "rabbitry stop"),
    ],
)
def test_a_mistake_in_a_command_leads_to_the_help_of_this_command(
    arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    err = capsys.readouterr().err
    assert err.endswith(f"; see `{command} --help`\n")
    assert not re.search(r"(?<!\.\.)\.;", err)


def test_a_bug_of_ours_is_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(path: Path, request: object) -> object:
        raise KeyError("x")

    monkeypatch.setattr(control, "ask", ask)
    monkeypatch.delenv("RABBITRY_TRACEBACK", raising=False)
    assert cli.run(["status"]) == 70
    assert capsys.readouterr().err == (
        "rabbitry: internal error: KeyError: 'x'; RABBITRY_TRACEBACK=1 shows where\n"
    )
    monkeypatch.setenv("RABBITRY_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.run(["status"])


SHELL = f"{sys.executable} -m rabbitry"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("command", "exit_code", "says"),
    [
        (f"{SHELL} --help >/dev/full", 1, "rabbitry: cannot write: No space left on device\n"),
        (f"{SHELL} status >&-", 1, "rabbitry: standard output is closed, there is nowhere "),
        (f"set -o pipefail; {SHELL} --help | head -c 1", 0, ""),
    ],
)
def test_where_nothing_can_be_printed(command: str, exit_code: int, says: str) -> None:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == exit_code
    assert done.stderr.startswith(says) if says else done.stderr == ""


def test_what_is_asked_reaches_the_supervisor_of_that_directory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[Path, object]] = []

    def ask(path: Path, request: object) -> object:
        asked.append((path, request))
        return {"node": "rabbit_1", "pid": 7}

    monkeypatch.setattr(control, "ask", ask)
    monkeypatch.setenv("RABBITRY_DATA_DIR", str(tmp_path / "from environment"))
    assert cli.run(["kill", "rabbit_1"]) == 0
    assert cli.run(["kill", "rabbit_1", "--signal", "STOP", "--data-dir", str(tmp_path)]) == 0
    assert cli.run(["start", "rabbit_1"]) == 0
    assert cli.run(["stop"]) == 0
    default = tmp_path / "from environment"
    assert asked == [
        (default, control.Kill("rabbit_1", "KILL")),
        (tmp_path, control.Kill("rabbit_1", "STOP")),
        (default, control.Start("rabbit_1")),
        (default, control.Stop()),
    ]
    assert capsys.readouterr().out == (
        "sent SIGKILL to rabbit_1 (pid 7)\nsent SIGSTOP to rabbit_1 (pid 7)\n"
        f"started rabbit_1 (pid 7)\nstopped the Rabbitry in {default}\n"
    )


def test_the_exit_code_of_an_error_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(path: Path, request: object) -> object:
        raise UserError("no", 5)

    monkeypatch.setattr(control, "ask", ask)
    with pytest.raises(SystemExit) as caught:
        cli.main(["stop"])
    assert caught.value.code == 5


def test_ctrl_c_is_130_and_nothing_more_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(path: Path, request: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(control, "ask", ask)
    assert cli.run(["stop"]) == 130
    assert capsys.readouterr() == ("", "")


def test_commands_load_only_what_they_use(tmp_path: Path) -> None:
    script = (
        "import sys; from rabbitry.cli import run\n"
        f"assert run(['status', '--data-dir', {str(tmp_path)!r}]) == 1\n"
        "heavy = {'asyncio', 'uvloop', 'starlette', 'uvicorn', 'rabbitry.runtime.driver'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_python_m_rabbitry_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rabbitry", "frob"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("rabbitry: ")
