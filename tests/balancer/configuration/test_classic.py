"""Tests of the configuration of `rabbitry up`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rabbitry.balancer.configuration.classic import classic
from rabbitry.balancer.configuration.model import StatisticsPage
from rabbitry.balancer.configuration.reader import parse
from rabbitry.machine import Address
from rabbitry.wire.frames import PROTOCOL_HEADER


def test_configuration_of_up() -> None:
    text = classic(
        Address("127.0.0.1", 5670),
        [("rabbit", Address("127.0.0.1", 5672)), ("rabbit_1", Address("127.0.0.1", 5673))],
        Address("127.0.0.1", 8100),
    )
    configuration = parse(text, "up.cfg")
    assert configuration.warnings == ()
    front, page = configuration.frontends
    back, rows_only = configuration.backends
    assert (rows_only.mode, rows_only.servers) == ("http", ())
    assert [bind.address for bind in front.binds] == [Address("127.0.0.1", 5670)]
    assert [server.name for server in back.servers] == ["rabbit", "rabbit_1"]
    assert {server.downinter_us for server in back.servers} == {100_000}
    assert {server.on_marked_down for server in back.servers} == {"shutdown-sessions"}
    assert back.check == "tcp-check"
    assert [step.data for step in back.check_steps if step.data] == [
        PROTOCOL_HEADER,
        b"\x00\x0a\x00\x0a",
    ]
    assert front.timeout_client_us is not None
    assert front.timeout_client_us > 180_000_000
    assert [bind.address for bind in page.binds] == [Address("127.0.0.1", 8100)]
    assert page.statistics == StatisticsPage("/stats", 5_000_000)


TLS = (Address("127.0.0.1", 5671), [("rabbit", Address("127.0.0.1", 5691))])


def test_configuration_of_up_with_tls_has_a_second_front() -> None:
    servers = [("rabbit", Address("127.0.0.1", 5672))]
    text = classic(Address("127.0.0.1", 5670), servers, Address("127.0.0.1", 8100), tls=TLS)
    configuration = parse(text, "up.cfg")
    assert [bind.address for bind in configuration.frontends[1].binds] == [TLS[0]]
    back = configuration.backends[1]
    assert [(server.name, server.address) for server in back.servers] == [
        ("rabbit_tls", Address("127.0.0.1", 5691))
    ]
    assert [(server.check, server.track) for server in back.servers] == [
        (False, "rabbitmq_local_cluster/rabbit")
    ]


AGENTS = {"rabbit": Address("127.0.0.1", 20000)}


def test_agents_are_asked_by_those_that_have_one_and_not_by_those_that_track() -> None:
    servers = [("rabbit", Address("127.0.0.1", 5672)), ("other", Address("127.0.0.1", 5673))]
    page = Address("127.0.0.1", 8100)
    text = classic(Address("127.0.0.1", 5670), servers, page, tls=TLS, agents=AGENTS)
    plain, tls = parse(text, "up.cfg").backends[:2]
    assert [
        (line.name, line.agent_check, line.agent_address, line.agent_inter_us, line.agent_send)
        for line in (*plain.servers, *tls.servers)
    ] == [
        ("rabbit", True, AGENTS["rabbit"], 900_000, b""),
        ("other", False, None, 2_000_000, b""),
        ("rabbit_tls", False, None, 2_000_000, b""),
    ]


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_real_haproxy_accepts_the_configuration_of_up(tmp_path: Path) -> None:
    servers = [("rabbit", Address("127.0.0.1", 5672))]
    page = Address("127.0.0.1", 8100)
    text = classic(Address("127.0.0.1", 5670), servers, page, tls=TLS, agents=AGENTS)
    path = tmp_path / "up.cfg"
    path.write_text(text)
    checked = subprocess.run(["haproxy", "-c", "-f", str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_its_owner_may_steer_the_balancer() -> None:
    servers = [("rabbit", Address("127.0.0.1", 5672))]
    path = "/tmp/it's here/s"
    text = classic(
        Address("127.0.0.1", 5670), servers, Address("127.0.0.1", 8100), runtime_socket=path
    )
    (socket,) = parse(text, "up.cfg").process.runtime_sockets
    assert (socket.bind.address.host, socket.bind.level, socket.bind.mode) == (path, "admin", 0o600)
