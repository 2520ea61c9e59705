"""One broker for a client's own suite: ours or RabbitMQ, with what `docker` does to a container.

Owns the processes, ports and directories of the brokers it starts; `destroy` leaves nothing behind.
A broker keeps its ports when it is killed, stopped and started again. Everything is on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Protocol

from bench import rabbitmq, rabbitry
from bench.ports import free_ports
from bench.processes import Server, SideError

START_TIMEOUT_S = 60.0


def wait_for_words(server: Server, *words: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Until `server` prints a line with all these words; SideError where it ends or does not."""
    until_s = time.monotonic() + timeout_s
    while (left_s := until_s - time.monotonic()) > 0:
        line = server.wait_for_line("", left_s)
        if all(word in line for word in words):
            return
    raise SideError(f"{server.command[0]} did not say {words} within {timeout_s:g} s")


class Broker(Protocol):
    """A broker that a suite runs against. `tls_port` is 0 where it does not listen for TLS."""

    port: int
    tls_port: int

    def start(self) -> None:
        """Start it (again) and return when it can be used."""

    def kill(self) -> None:
        """End it at once, without a word to its clients."""

    def run_control(self, command: str) -> None:
        """What `rabbitmqctl COMMAND` does: stop_app or start_app."""

    def destroy(self) -> None:
        """End it and remove what it wrote."""


class RabbitryBroker:
    """A `rabbitry node`, with TLS if it is given `certificates`, as RabbitMQBroker."""

    def __init__(self, certificates: Path | None = None) -> None:
        self.port = free_ports(2)
        self.tls_port = self.port + 1 if certificates else 0
        self._home = Path(tempfile.mkdtemp(prefix="rabbitry-clients-"))
        self._command = [rabbitry.command(), "node", "--listen", f"127.0.0.1:{self.port}"]
        self._command += ["--data-dir", str(self._home)]
        if certificates is not None:
            self._command += ["--tls-listen", f"127.0.0.1:{self.tls_port}", "--tls-verify"]
            self._command += ["--tls-ca", str(certificates / "ca.pem")]
            self._command += ["--tls-cert", str(certificates / "server.pem")]
            self._command += ["--tls-key", str(certificates / "server.key")]
        self._server: Server | None = None

    def start(self) -> None:
        self._server = Server(self._command)
        self._server.wait_for_line("ready:", START_TIMEOUT_S)

    def kill(self) -> None:
        if self._server is not None:
            self._server.process.kill()
            self._server.stop()
            self._server = None

    def run_control(self, command: str) -> None:
        """A node of ours is stopped with SIGTERM: it closes its connections with 320, then ends."""
        if command == "stop_app" and self._server is not None:
            self._server.stop()
            self._server = None
        elif command == "start_app":
            self.start()
        else:
            raise ValueError(f"there is no rabbitmqctl {command} here")

    def destroy(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        shutil.rmtree(self._home, ignore_errors=True)


class RabbitMQBroker:
    """A node of Debian's RabbitMQ, with TLS if it is given `certificates`.

    `certificates` is a directory with ca.pem, server.pem and server.key.
    """

    def __init__(self, certificates: Path | None = None) -> None:
        self._stack = contextlib.ExitStack()
        home = Path(tempfile.mkdtemp(prefix="rabbitmq-clients-"))
        self._stack.callback(shutil.rmtree, home, ignore_errors=True)
        cookie = home / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        epmd_port = free_ports(5)
        self.port = epmd_port + 2
        self.tls_port = epmd_port + 4 if certificates else 0
        epmd = Server(["epmd", "-port", str(epmd_port), "-address", "127.0.0.1"])
        self._stack.callback(epmd.stop)
        epmd.wait_for_port(epmd_port, 10.0)
        node = rabbitmq.Node(
            f"clients_{self.port}@localhost", self.port, epmd_port + 3, home / "node"
        )
        node.write_files()
        if certificates is not None:
            self._write_tls(node.directory / "rabbitmq.conf", certificates)
        self._environment = node.environment(epmd_port, epmd_port + 1)
        self._server: Server | None = None

    def _write_tls(self, configuration: Path, certificates: Path) -> None:
        lines = [
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
            f"ssl_options.cacertfile = {certificates / 'ca.pem'}",
            f"ssl_options.certfile = {certificates / 'server.pem'}",
            f"ssl_options.keyfile = {certificates / 'server.key'}",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = false",
        ]
        with configuration.open("a") as file:
            file.write("\n".join(lines) + "\n")

    def start(self) -> None:
        self._server = Server([str(rabbitmq.SCRIPTS / "rabbitmq-server")], self._environment)
        rabbitmq.control(
            self._environment,
            "wait",
            "--pid",
            str(self._server.pid),
            "--timeout",
            str(int(START_TIMEOUT_S)),
        )

    def kill(self) -> None:
        if self._server is not None:
            self._server.process.kill()
            self._server.stop()
            self._server = None

    def run_control(self, command: str) -> None:
        rabbitmq.control(self._environment, command)

    def destroy(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._stack.close()
