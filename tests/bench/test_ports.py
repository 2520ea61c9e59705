"""Ports of one process alone, handed out in rows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.forked import exit_code_in_a_fork

from bench import ports
from bench.ports import BLOCK_SIZE, PORTS, ClaimedPorts, free_ports
from bench.processes import SideError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])
def test_a_port_is_free_when_nobody_listens(host: str) -> None:
    port = free_ports()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((host, port))
        server.listen()
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_a_look_takes_nothing_even_when_its_socket_outlives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it does in a process that another thread starts meanwhile, until its `exec`."""
    port = free_ports()
    copies: list[socket.socket] = []

    class Copied(socket.socket):
        def close(self) -> None:
            copies.append(self.dup())
            super().close()

        def __exit__(self, *_: object) -> None:
            self.close()

    with monkeypatch.context() as patch:
        patch.setattr(ports.socket, "socket", Copied)
        assert ports.is_free(port)
    assert {copy.getsockname()[1] for copy in copies} == {port}
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, port), family=family):
            pass
    for copy in copies:
        socket.close(copy.detach())


def test_ports_of_outgoing_connections_are_never_handed_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outgoing = tmp_path / "range"
    monkeypatch.setattr(ports, "OUTGOING", outgoing)
    start = PORTS.start
    monkeypatch.setattr(ports, "PORTS", range(start, start + 3 * BLOCK_SIZE))
    outgoing.write_text(f"{start + BLOCK_SIZE - 1}\t{start + 2 * BLOCK_SIZE - 1}\n")
    monkeypatch.setattr(ports.socket, "socket", lambda _: Unclaimed())
    assert {ClaimedPorts().block.start for _ in range(3)} == {start + 2 * BLOCK_SIZE}
    outgoing.write_text("1024\t65535\n")
    with pytest.raises(SideError, match="are all of outgoing connections, 1024 to 65535"):
        ClaimedPorts()


class Unclaimed:
    """A claim that nobody has made before."""

    def bind(self, name: str) -> None:
        assert name.startswith("\0rabbitry-ports-")


def test_they_step_over_a_taken_one() -> None:
    with closing(ClaimedPorts(lambda port: port % BLOCK_SIZE != 1)) as claimed:
        start = claimed.block.start
        assert claimed.take(3) == start + 2
        assert claimed.take(1) == start + 5


def test_they_come_again_only_when_all_have_been_given() -> None:
    with closing(ClaimedPorts(lambda port: True)) as claimed:
        block = claimed.block
        given = [claimed.take(7) for _ in range(BLOCK_SIZE // 7)]
        assert given == list(block)[: BLOCK_SIZE // 7 * 7 : 7]
        assert claimed.take(7) == block.start
        assert set(block) < set(PORTS)


def test_a_row_that_is_longer_than_the_block_is_refused() -> None:
    with closing(ClaimedPorts()) as claimed, pytest.raises(SideError, match="501 ports in a row"):
        claimed.take(BLOCK_SIZE + 1)


def test_two_never_have_the_same() -> None:
    own = free_ports(2)
    code = "from bench.ports import free_ports; print(free_ports()); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        line = other.stdout.readline()
        with closing(ClaimedPorts()) as third:
            blocks = [port // BLOCK_SIZE for port in (own, int(line), third.block.start)]
        other.communicate(b"\n")
    assert len(set(blocks)) == 3


def test_a_forked_process_has_others() -> None:
    own = free_ports()
    read, write = os.pipe()

    def tell() -> None:
        os.write(write, str(free_ports()).encode())

    assert exit_code_in_a_fork(tell) == 0
    os.close(write)
    with open(read) as pipe:
        assert int(pipe.read()) // BLOCK_SIZE != own // BLOCK_SIZE


def test_a_claim_ends_with_its_holder_and_without_one_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(ClaimedPorts()) as claimed:
        monkeypatch.setattr(ports, "PORTS", claimed.block)
        with pytest.raises(SideError, match="1 processes have claimed all ports"):
            ClaimedPorts()
    with closing(ClaimedPorts()) as again:
        assert again.block == claimed.block
