"""What a peer can make a node hold, and for how long: counted, with time that only tests let pass.

Memory is what Python allocated while a stranger was at work and has not freed after it
(tracemalloc), so the figures are the same on every run. Each has room for twice what it is now.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from support.coordination_stage import Counted
from support.fuzz_seeds import cluster_login, publish, say
from support.hostile_peer import SECOND_US, Judge, Scene, Stranger, login

from rabbitry.broker.publishing import PLANS_KEPT_MAX
from rabbitry.broker.reading import UNREAD_BYTES_MAX
from rabbitry.cluster import links as cluster_links
from rabbitry.cluster.links import LOGIN_FRAME_BYTES_MAX, ClusterLink
from rabbitry.connection.endpoint import HANDSHAKE_TIMEOUT_US, SILENT_CLOSE_DELAY_US
from rabbitry.connection.handshake import CHANNEL_MAX
from rabbitry.machine import LinkFinished, WritingPaused, WritingResumed
from rabbitry.wire.frames import PROTOCOL_HEADER, frame_head, method_frame
from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    ChannelClose,
    ChannelOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    QueueDeclare,
)

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def scene() -> Scene:
    """A scene that keeps no record of itself, which would count as what the node holds."""
    scene = Scene()
    forgetting: Any = deque(maxlen=0)
    scene.node.steps = scene.node.reports = forgetting
    return scene


def forget(stranger: Stranger) -> Stranger:
    assert stranger.judge is not None
    nothing: Any = deque(maxlen=0)
    stranger.judge.said = nothing
    return stranger


def held_after(work: Callable[[], object]) -> tuple[int, int]:
    """Return how many bytes `work` has left allocated, and how many it had at most."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


# --- peers that do not go on ----------------------------------------------------------------------


def frames_of_login() -> list[bytes]:
    """The parts of a login, but the last."""
    start_ok = ConnectionStartOk({}, "PLAIN", b"\0guest\0guest", "en_US").encode()
    tune_ok = ConnectionTuneOk(2047, 131072, 0).encode()
    return [PROTOCOL_HEADER, method_frame(0, start_ok), method_frame(0, tune_ok)]


@pytest.mark.parametrize("parts", range(4))
@pytest.mark.parametrize("more", [b"", b"\x01\x00\x00"])
def test_a_handshake_that_never_ends_is_ended(scene: Scene, parts: int, more: bytes) -> None:
    stranger = scene.stranger().write(b"".join(frames_of_login()[:parts]) + more)
    scene.network.wait(HANDSHAKE_TIMEOUT_US - SECOND_US)
    assert not stranger.closed
    scene.network.wait(2 * SECOND_US)
    assert stranger.closed
    scene.check_forgotten()


def test_one_byte_a_second_does_not_buy_more_time_for_a_login(scene: Scene) -> None:
    stranger = scene.stranger()
    said = 0
    for octet in login(1):
        if stranger.closed:
            break
        stranger.write(bytes((octet,)))
        said += 1
        scene.network.wait(SECOND_US)
    assert said <= (HANDSHAKE_TIMEOUT_US + SILENT_CLOSE_DELAY_US) // SECOND_US + 2
    scene.check_forgotten()


def test_who_says_one_byte_a_second_after_login_is_understood(scene: Scene) -> None:
    stranger = scene.stranger().log_in(1, heartbeat_s=10)
    said = [*say(QueueDeclare(queue="q")), *publish("", "q", b"slow"), *say(BasicGet(queue="q"))]
    for octet in b"".join(said):
        stranger.write(bytes((octet,)))
        scene.network.wait(SECOND_US)
        scene.neighbour.check()
    assert stranger.judge is not None
    assert stranger.judge.said[-1] == (1, "basic.get-ok")


def test_peers_that_say_nothing_cost_little_and_go(scene: Scene) -> None:
    count = 300

    def come() -> None:
        for _ in range(count):
            scene.stranger()

    held, _ = held_after(come)
    assert held < count * 24 * KIB
    assert len(scene.machine._clients) == count + 1
    scene.network.wait(HANDSHAKE_TIMEOUT_US + SECOND_US)
    scene.check_forgotten()


@pytest.mark.parametrize("said", [b"", PROTOCOL_HEADER, login(1), login(1)[:-3]])
def test_a_half_open_peer_is_let_go(scene: Scene, said: bytes) -> None:
    stranger = scene.stranger().write(said)
    stranger.host.inbox.append(LinkFinished(stranger.link))
    scene.network.run()
    assert stranger.closed
    scene.check_forgotten()


# --- frames and contents --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4096 + 9, 1 << 20, (1 << 32) - 1])
def test_a_frame_that_is_longer_than_agreed_is_refused_at_its_head(scene: Scene, size: int) -> None:
    stranger = forget(scene.stranger().log_in(1, frame_max=4096))

    def flood() -> None:
        stranger.write(frame_head.pack(1, 1, size))
        for _ in range(64):
            stranger.write(b"\0" * 65536)

    held, most = held_after(flood)
    assert held < 64 * KIB
    assert most < MIB
    assert stranger.over
    scene.neighbour.check()


def test_a_frame_that_does_not_end_takes_no_more_than_a_frame(scene: Scene) -> None:
    stranger = scene.stranger().log_in(1)

    def trickle() -> None:
        stranger.write(frame_head.pack(1, 1, 131072 - 8))
        for _ in range(131):
            stranger.write(b"\0" * 1000)

    held, most = held_after(trickle)
    assert held < 256 * KIB
    assert most < MIB
    assert not stranger.over


def test_a_body_in_tiny_frames_takes_what_its_frames_take(scene: Scene) -> None:
    stranger = scene.stranger().log_in(1)
    method, content = publish("", "nowhere", b"", frame_size_max=0)
    header = content[:11] + (1 << 20).to_bytes(8, "big") + content[19:]
    tiny = (frame_head.pack(3, 1, 1) + b"x\xce") * 1000

    def trickle() -> None:
        stranger.write(method + header)
        for _ in range(100):
            stranger.write(tiny)

    held, _ = held_after(trickle)
    assert held < 2 * 100 * len(tiny)
    assert not stranger.over


def test_who_is_in_the_middle_of_a_content_is_a_publisher(scene: Scene) -> None:
    """Else contents that never end would fill the memory of a node that reads no publisher."""
    stranger = scene.stranger().log_in(1)
    (client,) = [one for one in scene.machine._clients.values() if one.link == stranger.link]
    method, _ = publish("", "nowhere", b"")
    stranger.write(method[:-1])
    assert not client.publishes
    stranger.write(method[-1:])
    assert client.publishes


# --- channels, consumers, caches ------------------------------------------------------------------


def test_a_million_channels_are_not_to_be_had(scene: Scene) -> None:
    stranger = forget(scene.stranger().log_in())

    def open_all() -> None:
        for channel in range(1, CHANNEL_MAX + 1):
            stranger.write(method_frame(channel, ChannelOpen().encode()))

    held, _ = held_after(open_all)
    assert held < CHANNEL_MAX * 12 * KIB
    assert not stranger.over
    stranger.write(method_frame(65535, ChannelOpen().encode()))
    assert stranger.over
    scene.network.wait(SECOND_US)
    stranger.hang_up()
    scene.check_forgotten()


@pytest.mark.slow
def test_channels_that_come_and_go_leave_nothing(scene: Scene) -> None:
    stranger = forget(scene.stranger().log_in())
    stranger.write(method_frame(7, ChannelOpen().encode()))
    stranger.write(b"".join(say(QueueDeclare(queue="q"), channel=7)))

    def come_and_go(first: int) -> None:
        for channel in range(first, first + 2500):
            number = 10 + channel % 2000
            said = [
                *say(ChannelOpen(), BasicConsume(queue="q", no_ack=True), channel=number),
                *publish("", "q", b"m", number),
                *say(BasicGet(queue="q"), ChannelClose(200, "bye", 0, 0), channel=number),
            ]
            stranger.write(b"".join(said))

    come_and_go(0)
    held, _ = held_after(lambda: come_and_go(2500))
    assert held < 64 * KIB
    assert not stranger.over
    scene.neighbour.check()


@pytest.mark.slow
def test_consumers_that_come_and_go_leave_nothing(scene: Scene) -> None:
    stranger = forget(scene.stranger().log_in(1))
    stranger.write(b"".join(say(QueueDeclare(queue="q"))))

    def come_and_go(name: str) -> None:
        tags = [f"{name}{number}" for number in range(1000)]
        for tag in tags:
            stranger.write(b"".join(say(BasicConsume(queue="q", consumer_tag=tag))))
        stranger.write(b"".join(publish("", "q", b"m") * 1000))
        stranger.write(b"".join(say(BasicAck(delivery_tag=0, multiple=True))))
        for tag in tags:
            stranger.write(b"".join(say(BasicCancel(consumer_tag=tag))))

    come_and_go("a")
    # The tables of dictionaries stay, made anew: they are the same after one round and after three.
    held, most = held_after(lambda: [come_and_go(name) for name in "bcd"])
    assert held < 96 * KIB
    assert most < 1000 * 8 * KIB
    assert not stranger.over


@pytest.mark.slow
def test_plans_and_routes_are_kept_so_many_and_no_more(scene: Scene) -> None:
    stranger = forget(scene.stranger().log_in(1))

    def publish_everywhere(first: int) -> None:
        for start in range(first, first + 5 * PLANS_KEPT_MAX, 1024):
            keys = range(start, start + 1024)
            said = [frame for key in keys for frame in publish("amq.topic", f"k.{key}", b"")]
            stranger.write(b"".join(said))

    publish_everywhere(0)
    held, most = held_after(lambda: publish_everywhere(1 << 20))
    assert held < 16 * MIB
    assert most < 32 * MIB
    assert not stranger.over
    stranger.hang_up()
    scene.check_forgotten()


# --- who does not read ----------------------------------------------------------------------------


def test_messages_returned_to_who_does_not_read_are_bounded(scene: Scene) -> None:
    stranger = forget(scene.stranger().log_in(1))
    scene.node.step(WritingPaused(stranger.link))
    before = stranger.received_bytes
    returned = b"".join(publish("", "nowhere", b"r" * 10_000, mandatory=True) * 10)
    for _ in range(100):
        stranger.write(returned)
    got = stranger.received_bytes - before
    assert UNREAD_BYTES_MAX < got < UNREAD_BYTES_MAX + 2 * len(returned)
    scene.neighbour.check()
    scene.node.step(WritingResumed(stranger.link))
    scene.network.run()
    assert stranger.received_bytes - before > 100 * len(returned)


# --- the cluster's ports --------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["a", "coordinator"])
def test_bytes_before_a_login_of_the_cluster_are_bounded_and_no_records(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(cluster=True)

    def decoded(_frame: object) -> None:
        raise AssertionError("a record of somebody who has not logged in")

    hello, proof = cluster_login()
    frame = (LOGIN_FRAME_BYTES_MAX).to_bytes(4, "big") + b"\xc0" * LOGIN_FRAME_BYTES_MAX
    for said in (frame * 60, hello + frame * 60, hello + hello, hello + proof + frame, frame[:99]):
        stranger = Stranger(scene.network, scene.network.hosts[host], "cluster")

        def speak(stranger: Stranger = stranger, said: bytes = said) -> None:
            with monkeypatch.context() as patched:
                patched.setattr(cluster_links, "decode", decoded)
                for start in range(0, len(said), 500):
                    stranger.write(said[start : start + 500])

        held, most = held_after(speak)
        assert held < 64 * KIB
        assert most < 256 * KIB
    scene.network.wait(10 * SECOND_US)
    assert stranger.closed, "it did not log in in time"
    scene.neighbour.check()


def test_a_link_of_the_cluster_holds_one_frame_before_the_login() -> None:
    link = ClusterLink(False, b"s" * 32, "a", "1", Counted())
    held, most = held_after(
        lambda: [link.receive(b"\0\0\4\0" + b"x" * 100), link.receive(b"x" * 500)]
    )
    assert held < 8 * KIB
    assert most < 16 * KIB
    assert not link.failure
    link.receive((LOGIN_FRAME_BYTES_MAX + 1).to_bytes(4, "big") * 1000)
    assert link.failure


def test_the_judge_knows_what_is_not_legal() -> None:
    open_ok = method_frame(1, b"\x00\x14\x00\x0b\x00\x00\x00\x00")
    for said in (
        open_ok * 2,
        method_frame(1, b"\x00\x14\x00\x29"),
        b"\x01\x00\x00\x00\x00\x00\x00!",
    ):
        with pytest.raises(AssertionError):
            Judge().hear(said)
    close = method_frame(0, b"\x00\x0a\x00\x32\x00\xc8\x00\x00\x00\x00\x00")
    judge = Judge()
    judge.hear(close)
    with pytest.raises(AssertionError):
        judge.hear(open_ok)
