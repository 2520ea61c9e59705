"""The few calls of Docker's HTTP interface by which aio-pika's and aiormq's suites get brokers.

Owns a server on a loopback port; a "container" is a broker from the function it is given, whatever
image is asked for. So the suites run as they are, with DOCKER_HOST pointing here, and no Docker.
What the suites do not call is answered 404.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

from support.client_brokers import Broker


class DockerOfBrokers:
    """Docker's daemon as those suites see it. A context: leaving it ends every broker."""

    def __init__(self, make_broker: Callable[[], Broker]) -> None:
        self._make_broker = make_broker
        self._brokers: dict[str, Broker] = {}
        self._commands: dict[str, tuple[Broker, str]] = {}
        self._exit_codes: dict[str, int] = {}
        self._lock = threading.Lock()
        docker = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                path = self.path.partition("?")[0].strip("/").split("/")
                try:
                    with docker._lock:
                        status, answer = docker.answer(self.command, path, body)
                except Exception as error:
                    status, answer = 500, {"message": repr(error)}
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _handle

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing: pytest's output is the record."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """What DOCKER_HOST is set to."""
        return f"tcp://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> DockerOfBrokers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for broker in self._brokers.values():
            broker.destroy()

    def answer(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON of the answer to one request."""
        match method, path:
            case "POST", ["images", "create"]:
                return 200, None
            case "POST", ["containers", "create"]:
                name = f"broker{len(self._brokers)}"
                self._brokers[name] = self._make_broker()
                return 201, {"Id": name}
            case "GET", ["containers", name, "json"]:
                return 200, {"Id": name, "NetworkSettings": {"Ports": self._ports(name)}}
            case "POST", ["containers", name, "exec"]:
                number = f"command{len(self._commands)}"
                self._commands[number] = self._brokers[name], body["Cmd"][1]
                return 201, {"Id": number}
            case "POST", ["exec", number, "start"]:
                broker, command = self._commands[number]
                broker.run_control(command)
                self._exit_codes[number] = 0
                return 200, None
            case "GET", ["exec", number, "json"]:
                return 200, {"Running": False, "ExitCode": self._exit_codes.get(number, 1)}
            case "POST", ["containers", name, "start"]:
                self._brokers[name].start()
            case "POST", ["containers", name, "kill"]:
                self._brokers[name].kill()
            case "POST", ["containers", name, "stop"]:
                self._brokers[name].kill()
            case "DELETE", ["containers", name]:
                self._brokers[name].destroy()
            case _:
                return 404, {"message": "not a call that is known here"}
        return 204, None

    def _ports(self, name: str) -> dict[str, list[dict[str, str]]]:
        broker = self._brokers[name]
        ports = {"5672/tcp": broker.port, "5671/tcp": broker.tls_port}
        return {
            inner: [{"HostIp": "127.0.0.1", "HostPort": str(outer)}]
            for inner, outer in ports.items()
            if outer
        }
