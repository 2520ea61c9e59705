"""Real RabbitMQ nodes for the comparison, as the current user, beside anything else that runs.

Owns a temporary directory with everything the nodes write (cookie, configuration, database, logs),
an epmd of its own on a port of its own, and one or three nodes. Debian's /usr/sbin wrappers insist
on the user rabbitmq; the scripts behind them under /usr/lib/rabbitmq/bin do not, so those are used.

Invariants: everything listens on 127.0.0.1; no plugins but those asked for; RabbitMQ's defaults
otherwise, since those are what is compared; leaving the context ends every process and removes the
directory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.ports import free_ports
from bench.processes import Server, SideError, disk_directory

SCRIPTS = Path("/usr/lib/rabbitmq/bin")
START_TIMEOUT_S = 90
MIRROR_POLICY = '{"ha-mode":"all","ha-sync-mode":"automatic"}'
LOOPBACK_DISTRIBUTION = "-kernel inet_dist_use_interface {127,0,0,1}"


def missing() -> str | None:
    """Why RabbitMQ cannot take part here, in one line; None where it can."""
    for script in ("rabbitmq-server", "rabbitmqctl"):
        path = SCRIPTS / script
        if not path.exists():
            return f"RabbitMQ is not installed ({path} is missing): apt install rabbitmq-server"
    if not shutil.which("epmd"):
        return "Erlang's epmd is not on the PATH: apt install erlang-base"
    return None


def version() -> str:
    """The installed version, from the name of its directory."""
    names = sorted(path.name for path in (SCRIPTS.parent / "lib").glob("rabbitmq_server-*"))
    return names[-1].removeprefix("rabbitmq_server-") if names else "unknown"


@dataclasses.dataclass(frozen=True)
class Node:
    """Where one node lives."""

    name: str
    port: int
    distribution_port: int
    directory: Path

    def environment(self, epmd_port: int, control_port: int) -> dict[str, str]:
        """The variables RabbitMQ's scripts read; nothing is left to the machine's /etc/rabbitmq."""
        home = self.directory.parent
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The script then becomes the Erlang machine itself: its pid is the node's pid.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-environment-file"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": LOOPBACK_DISTRIBUTION,
            "RABBITMQ_CTL_ERL_ARGS": LOOPBACK_DISTRIBUTION,
            "RABBITMQ_CTL_DIST_PORT_MIN": str(control_port),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(control_port),
        }

    def write_files(self, plugins: tuple[str, ...] = ()) -> None:
        """The node's directory, configuration and list of plugins."""
        for name in ("mnesia", "log"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        (self.directory / "advanced.config").write_text("[].\n")
        enabled = f"[{','.join(plugins)}].\n"
        (self.directory / "enabled_plugins").write_text(enabled)


class Cluster:
    """Running nodes, which can be killed and started again where they were."""

    balancer_port = 0

    def __init__(
        self,
        directory: Path,
        nodes: list[Node],
        environments: list[dict[str, str]],
        more: Mapping[str, str],
    ) -> None:
        self.directory = str(directory)
        self._more = more
        self.ports = [node.port for node in nodes]
        self.pids: dict[str, int] = {}
        self.servers: list[Server] = []
        self._nodes = nodes
        self._environments = environments

    def start(self) -> None:
        """Start all nodes; they do not serve yet."""
        for node, environment in zip(self._nodes, self._environments, strict=True):
            server = Server([str(SCRIPTS / "rabbitmq-server")], {**environment, **self._more})
            self.servers.append(server)
            self.pids[node.name] = server.pid

    def wait(self) -> None:
        """Until all nodes serve; SideError where one does not."""
        for environment, pid in zip(self._environments, self.pids.values(), strict=True):
            control(environment, "wait", "--pid", str(pid), "--timeout", str(START_TIMEOUT_S))

    def crash(self) -> None:
        """SIGKILL for all nodes at once."""
        while self.servers:
            self.servers.pop().kill()

    def stop(self) -> None:
        """An orderly end of all nodes."""
        while self.servers:
            self.servers.pop().stop()

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl against the first node; SideError with its last line."""
        return control(self._environments[0], *arguments)

    def leader_port(self, queue: str) -> int:
        """RabbitMQ's default locator is client-local: the node it was declared through."""
        return self.ports[0]


@contextlib.contextmanager
def running(
    node_count: int,
    plugins: tuple[str, ...] = (),
    definitions: Path | None = None,
    more_environment: Callable[[Path], Mapping[str, str]] | None = None,
) -> Iterator[Cluster]:
    """``node_count`` RabbitMQ nodes; more than one: clustered, all queues mirrored on all.

    ``definitions``: a file to import. ``more_environment`` is called with the directory below which
    all is written, and returns variables for the nodes. Raises SideError with one line; stops and
    removes everything on the way out.
    """
    if reason := missing():
        raise SideError(reason)
    base = free_ports(2 * node_count + 2)
    epmd_port, control_port = base, base + 1
    with contextlib.ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="rabbitmq-bench-", dir=disk_directory()))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        cookie = home / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        epmd = Server(["epmd", "-port", str(epmd_port), "-address", "127.0.0.1"])
        stack.callback(epmd.stop)
        epmd.wait_for_port(epmd_port, 10.0)
        nodes = [
            Node(
                f"bench_{number}@localhost",
                base + 2 + 2 * number,
                base + 3 + 2 * number,
                home / str(number),
            )
            for number in range(node_count)
        ]
        environments = [node.environment(epmd_port, control_port) for node in nodes]
        for node in nodes:
            node.write_files(plugins)
        more = more_environment(home) if more_environment is not None else {}
        cluster = Cluster(home, nodes, environments, more)
        stack.callback(cluster.stop)
        cluster.start()
        cluster.wait()
        if node_count > 1:
            _join(nodes, environments)
        if definitions is not None:
            control(environments[0], "import_definitions", str(definitions))
        yield cluster


def _join(nodes: list[Node], environments: list[dict[str, str]]) -> None:
    for environment in environments[1:]:
        control(environment, "stop_app")
        control(environment, "join_cluster", nodes[0].name)
        control(environment, "start_app")
        control(environment, "await_startup", "--timeout", str(START_TIMEOUT_S))
    policy = ("set_policy", "mirror-all", ".*", MIRROR_POLICY, "--apply-to", "queues")
    control(environments[0], *policy)


def control(environment: dict[str, str], *arguments: str) -> str:
    """Run rabbitmqctl against the node of ``environment``; SideError with its last line."""
    command = [str(SCRIPTS / "rabbitmqctl"), "--quiet", "-n", environment["RABBITMQ_NODENAME"]]
    try:
        done = subprocess.run(
            [*command, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_TIMEOUT_S + 30,
        )
    except subprocess.TimeoutExpired:
        raise SideError(f"rabbitmqctl {arguments[0]} did not end") from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()] or ["(no output)"]
        raise SideError(f"rabbitmqctl {arguments[0]} failed: {' / '.join(lines[:3])}")
    return done.stdout
