"""bench.rabbitmq: what the nodes are told; and, where it is installed, one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import load, processes, rabbitmq


def test_environment_keeps_everything_in_its_own_directory_and_on_loopback(tmp_path: Path) -> None:
    node = rabbitmq.Node("bench_0@localhost", 21002, 21003, tmp_path / "0")
    environment = node.environment(21000, 21001)
    for name, value in environment.items():
        if name.endswith(("_FILE", "_BASE")) or name == "HOME":
            assert Path(value).is_relative_to(tmp_path), name
    assert environment["RABBITMQ_NODE_IP_ADDRESS"] == "127.0.0.1"
    assert environment["ERL_EPMD_PORT"] == "21000"


def test_files_name_the_listener_and_no_plugins(tmp_path: Path) -> None:
    rabbitmq.Node("bench_0@localhost", 21002, 21003, tmp_path / "0").write_files()
    written = (tmp_path / "0" / "rabbitmq.conf").read_text()
    assert written == "listeners.tcp.1 = 127.0.0.1:21002\n"
    assert (tmp_path / "0" / "enabled_plugins").read_text() == "[].\n"


def test_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rabbitmq, "SCRIPTS", tmp_path)
    reason = rabbitmq.missing()
    assert reason is not None
    assert reason.endswith("apt install rabbitmq-server")
    with pytest.raises(processes.SideError, match="not installed"), rabbitmq.running(1):
        pass


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.skipif(rabbitmq.missing() is not None, reason="RabbitMQ is not installed")
def test_one_node_serves_a_load_and_leaves_nothing_behind() -> None:
    with rabbitmq.running(1) as cluster:
        pids = list(cluster.pids.values())
        plain = load.Load(port=cluster.ports[0], count=3001)
        assert load.run(plain).messages == 3001
        confirmed = load.Load(
            port=cluster.ports[0], count=777, size=200_000, confirm=10, ack=True, prefetch=5
        )
        assert load.run(confirmed).messages == 777
    assert processes.rss_bytes(pids) == 0
