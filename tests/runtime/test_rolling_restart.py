"""Nodes are restarted one after another, and none is touched while another lacks something.

The nodes are real processes that do nothing; the coordinator is a table that a test writes. Disks
in trouble: test_rolling_restart_disks.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from support.restarting_nodes import Play, Rounds, queue

from rabbitry.runtime import rolling_restart
from rabbitry.runtime.control_server import Asker
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.managed import ManagedProcess
from rabbitry.runtime.rolling_restart import RollingRestart, behind, only_there

Run = Callable[[Coroutine[Any, Any, Any]], Any]

FAILS = """
import os, sys
os.write(int(sys.argv[-1]), b'{"failed": "no room"}\\n')
"""
SAYS_NOTHING = "import sys; sys.stdin.read()"


def test_whom_to_wait_for() -> None:
    whole = queue("whole", "a", ["b"], ["a", "b"])
    lags = queue("lags", "a", ["b"], ["a"])
    alone = queue("alone", "a", [], ["a"])
    other = queue("other", "b", ["c"], ["b"])
    queues = [whole, lags, alone, other]
    assert only_there(queues, "a", ["a", "b", "c"]) == [lags], "nobody is to mirror `alone`"
    assert only_there(queues, "a", ["a", "c"]) == [whole, lags], "b does not run"
    assert only_there(queues, "b", ["a", "b", "c"]) == [other]
    assert behind(queues, "b") == [lags]
    assert behind(queues, "c") == [other]
    assert behind(queues, "a") == []


def test_one_after_the_other(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        before = {name: node.pid for name, node in play.nodes.items()}
        assert await play.restart("a", "b") == ["a", "b"]
        after = {name: node.pid for name, node in play.nodes.items()}
        assert play.asked == [("hand over", "a"), ("hand over", "b")]
        assert play.lines == [
            line
            for name in ("a", "b")
            for line in (
                f"{name}: handing over 1 queue",
                f"{name}: stopping (pid {before[name]})",
                f"{name}: started (pid {after[name]})",
                f"{name}: in sync",
            )
        ]
        assert before["a"] != after["a"]
        assert not any(node.killed for node in play.nodes.values())
        await play.end()

    run(main())


def test_a_node_is_out_of_the_balancers_rounds_while_it_is_away(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.rounds = rounds = Rounds(play, silent=False)
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        before = play.nodes["a"].pid
        await play.restart("a")
        assert rounds.heard == [("out", "a", before), ("back", "a", play.nodes["a"].pid)]
        assert play.lines[1] == "a: drained, the balancer sends no new connection"
        await play.end()

    run(main())


def test_it_is_put_back_also_when_it_does_not_come_up(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.rounds = rounds = Rounds(play, silent=False)
        play.queues = []
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        play.program = FAILS
        with pytest.raises(UserError):
            await play.restart("a")
        assert [what for what, _, _ in rounds.heard] == ["out", "back"]
        await play.end()

    run(main())


def test_a_silent_balancer_keeps_nobody_from_being_restarted(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.rounds = Rounds(play, silent=True)
        assert await play.restart("a") == ["a"]
        assert "a: the balancer does not answer; it is restarted all the same" in play.lines
        await play.end()

    run(main())


def test_a_queue_that_is_whole_nowhere_else_keeps_a_node_up(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.queues = [queue("q", "a", ["b"], ["a"]), queue("r", "a", ["b"], ["a"])]
        before = play.nodes["a"].pid
        with pytest.raises(
            UserError, match=r"waited 0.01 s in vain until another.*queue 'q' in '/' and 1"
        ):
            await play.restart("a", timeout_s=0.01)
        assert play.nodes["a"].pid == before
        await play.end()

    run(main())


def test_a_node_that_lags_keeps_the_next_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling_restart, "TELL_S", 0)

    async def main() -> None:
        play = Play(tmp_path)
        play.queues = [queue("p", "b", ["a"], ["b"])]
        before = play.nodes["b"].pid
        with pytest.raises(
            UserError, match=r"a: waited 1 s in vain until its replicas .*: queue 'p'"
        ):
            await play.restart("a", "b", timeout_s=1)
        assert play.nodes["a"].joined.is_set()
        assert play.nodes["b"].pid == before
        assert "a: waiting until its replicas are in sync again: queue 'p' in '/'" in play.lines
        await play.end()

    run(main())


def test_one_that_cannot_start_ends_it_with_the_reason(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.queues = []
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        play.program = FAILS
        with pytest.raises(UserError, match="a: no room; it is tried again, and nothing more"):
            await play.restart("a", "b")
        assert play.nodes["b"].alive
        await play.end()

    run(main())


def test_one_that_is_down_is_not_restarted(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        play.nodes["b"].killed = True
        await play.nodes["b"].child.stop(grace_s=10)
        rolling = RollingRestart(play.ask, play.nodes, cast(Asker, play), 1)
        with pytest.raises(UserError, match="node b is not running; start it with"):
            await rolling.run(list(play.nodes.values()))
        assert play.lines == [], "nor is any other"
        await play.end()

    run(main())


def stop(node: ManagedProcess) -> None:
    """Stop it, and return when it is."""
    node.child.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, node.child.pid, os.WSTOPPED | os.WNOWAIT)


def test_one_that_is_stopped_is_not_restarted_and_how_to_continue_it_is_said(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        b = play.nodes["b"]
        stop(b)
        for joined in (True, False):  # and when the cluster has given it up
            if not joined:
                b.joined.clear()
            with pytest.raises(UserError) as caught:
                await play.rolling().run(list(play.nodes.values()))
            assert str(caught.value) == (
                f"node b (pid {b.pid}) is stopped; continue it with "
                "`rabbitry kill b --signal CONT`, or restart others by name"
            )
            assert caught.value.exit_code == 1
        assert play.lines == []
        b.child.signal(signal.SIGCONT)
        with pytest.raises(UserError, match=r"b \(pid \d+\) has not joined the cluster; `rabbitry"):
            await play.rolling().run([b])
        await play.end()

    run(main())


def test_one_that_stops_while_others_are_restarted_is_left_alone(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        b = play.nodes["b"]

        def stop_the_next(line: str) -> None:
            if line == "a: in sync":
                stop(b)

        play.on_line = stop_the_next
        with pytest.raises(UserError, match=r"b \(pid \d+\) is stopped; .*; nothing more was"):
            await play.restart("a", "b")
        assert "a: in sync" in play.lines
        assert not any("b: stopping" in line for line in play.lines)
        await play.end()

    run(main())


KILLED = (
    "node a was killed while it restarted, and stays down; start it with `rabbitry start a`; "
    "nothing more was restarted"
)


@pytest.mark.parametrize("when", ["a: stopping", "a: started"])
def test_one_that_is_killed_meanwhile_stays_down_and_that_is_said(
    run: Run, tmp_path: Path, when: str
) -> None:
    """While it ends; or while it catches up, which would be waited for else."""

    async def main() -> None:
        play = Play(tmp_path)
        a = play.nodes["a"]

        def kill(line: str) -> None:
            if line.startswith(when):
                a.killed = True
                a.child.signal(signal.SIGKILL)

        play.on_line = kill
        play.lags_when_back = True
        with pytest.raises(UserError) as caught:
            await play.restart("a", "b")
        assert (str(caught.value), caught.value.exit_code) == (KILLED, 1)
        await a.child.exited
        assert (a.pid, play.nodes["b"].alive) == (None, True)
        await play.end()

    run(main())


def test_one_that_is_killed_before_it_has_joined_is_not_said_to_be_tried_again(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.queues = []
        a = play.nodes["a"]
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        play.program = SAYS_NOTHING
        restart = asyncio.ensure_future(play.rolling().run([a]))
        assert [await play.spawned.get() for _ in range(3)] == ["a", "b", "a"]
        a.killed = True
        a.child.signal(signal.SIGKILL)
        with pytest.raises(UserError) as caught:
            await restart
        assert str(caught.value) == KILLED
        await a.child.exited
        assert a.pid is None
        await play.end()

    run(main())


def test_when_nobody_waits_any_more_no_other_is_begun(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.gone_after = 1
        assert await play.restart("a", "b") == ["a"]
        await play.end()

    run(main())


def test_what_nobody_else_has_is_said(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.queues = [queue("q", "a", [], ["a"])]
        await play.restart("a")
        assert play.lines[0] == "a: no other node has queue 'q' in '/': away until it is back"
        assert play.asked == []
        await play.end()

    run(main())


def test_of_what_is_not_durable_it_is_said_that_it_goes_and_of_exclusive_queues_nothing(
    run: Run, tmp_path: Path
) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        transient = queue("t", "a", [], ["a"]) | {"durable": False}
        exclusive = queue("e", "a", [], ["a"]) | {"exclusive": True}
        play.queues = [exclusive, transient]
        await play.restart("a")
        assert play.lines[0] == "a: no other node has queue 't' in '/', not durable: gone with it"
        assert not any("'e'" in line for line in play.lines)
        await play.end()

    run(main())


def test_when_everything_is_stopped_nothing_more_is_told(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        play.rounds = rounds = Rounds(play, silent=False)
        play.lags_when_back = True
        started = asyncio.Event()
        play.on_line = lambda line: started.set() if "started" in line else None
        restart = asyncio.ensure_future(play.restart("a", "b"))
        await started.wait()
        restart.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restart
        assert play.lines[-1].startswith("a: started")
        assert [what for what, _, _ in rounds.heard] == ["out"], "the balancer ends as well"
        await play.end()

    run(main())


def test_one_that_was_only_waited_for_is_left_alone_when_its_asker_goes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling_restart, "TELL_S", 0)

    async def main() -> None:
        play = Play(tmp_path)
        play.queues = [queue("q", "a", ["b"], ["a"])]
        play.gone_after = 0  # with the first line that tells of the wait
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        before = play.nodes["a"].pid
        assert await play.restart("a", "b") == []
        assert play.nodes["a"].pid == before
        assert not any("stopping" in line for line in play.lines)
        await play.end()

    run(main())


def test_what_one_hears_that_leaves(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        play = Play(tmp_path)
        heard: dict[str, str] = {}
        play.on_line = lambda line: heard.update({line.partition(" (")[0]: play.if_left})
        play.queues = [queue("q", "a", ["b"], ["a"])]
        await asyncio.gather(*(node.joined.wait() for node in play.nodes.values()))
        restart = asyncio.ensure_future(play.restart("a", "b"))
        while not play.if_left:  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0)
        assert play.if_left == "a, b are untouched", "it waits, and has begun nothing"
        play.queues = [queue("q", "a", ["b"], ["a", "b"])]
        await restart
        assert heard["a: handing over 1 queue"] == "a is being restarted to the end; b is untouched"
        assert heard["a: stopping"] == heard["a: in sync"] == heard["a: handing over 1 queue"]
        assert heard["b: stopping"] == "a is restarted; b is being restarted to the end"
        assert play.if_left == "a, b are restarted"
        await play.end()

    run(main())
