"""Ports of one process alone, handed out in rows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from bench import ports
from bench.ports import BLOCK_SIZE, PORTS, ClaimedPorts, free_ports
from bench.processes import SideError


def test_a_port_is_free_when_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)


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
    child = os.fork()
    if child == 0:
        os.write(write, str(free_ports()).encode())
        os._exit(0)
    os.waitpid(child, 0)
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
