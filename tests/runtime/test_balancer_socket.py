"""Tests of speaking to a runtime socket: to one of the test's, and to a real HAProxy's."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rabbitry.runtime import balancer_socket
from rabbitry.runtime.balancer_socket import BalancerRounds, BalancerSilent, ask_balancer

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def serve(path: Path, answer: bytes, heard: list[str]) -> asyncio.Server:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readline()).decode().strip())
        if answer:
            writer.write(answer)
            writer.close()

    return await asyncio.start_unix_server(talk, str(path))


def test_a_node_leaves_the_rounds_of_all_sections_and_comes_back(tmp_path: Path) -> None:
    async def main() -> list[str]:
        heard: list[str] = []
        async with await serve(tmp_path / "s", b"\n", heard):
            rounds = BalancerRounds(tmp_path / "s", (("c", ""), ("c_tls", "_tls")))
            await rounds.take_out("rabbit")
            await rounds.put_back("rabbit")
        return heard

    assert asyncio.run(main()) == [
        "set server c/rabbit state drain",
        "set server c_tls/rabbit_tls state drain",
        "set server c/rabbit state ready",
        "set server c_tls/rabbit_tls state ready",
    ]


def test_a_refusal_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with await serve(tmp_path / "s", b"No such server.\n\n", []):
            await BalancerRounds(tmp_path / "s", (("c", ""),)).take_out("x")

    with pytest.raises(BalancerSilent, match="No such server"):
        asyncio.run(main())


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(BalancerSilent, match="No such file"):
        asyncio.run(ask_balancer(tmp_path / "s", "show info"))


def test_a_silent_one_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancer_socket, "ANSWER_S", 0.05)

    async def main() -> None:
        async with await serve(tmp_path / "s", b"", []):
            await ask_balancer(tmp_path / "s", "show info")

    with pytest.raises(BalancerSilent, match="does not answer"):
        asyncio.run(main())


async def answers(path: Path) -> bool:
    try:
        return bool(await ask_balancer(path, "show version"))
    except BalancerSilent:
        return False


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_a_real_haproxy_understands(tmp_path: Path) -> None:
    path = tmp_path / "s"
    configuration = tmp_path / "c.cfg"
    configuration.write_text(
        f"global\n stats socket {path} level admin\ndefaults\n mode tcp\n timeout connect 1s\n"
        " timeout client 1s\n timeout server 1s\nbackend c\n server rabbit 127.0.0.1:1\n"
    )
    process = subprocess.Popen(["haproxy", "-db", "-f", str(configuration)])
    try:

        async def main() -> list[str]:
            # The file is there a moment before anybody listens; nothing announces that.
            while not await answers(path):
                assert process.poll() is None
                await asyncio.sleep(0.01)
            rounds = BalancerRounds(path, (("c", ""),))
            states = []
            for change in (rounds.take_out, rounds.put_back):
                await change("rabbit")
                rows = await ask_balancer(path, "show stat c 4 -1")
                states.append(rows.splitlines()[1].split(",")[17])
            return states

        assert asyncio.run(main()) == ["DRAIN", "no check"]
    finally:
        process.kill()
        process.wait()
