"""bench.load: the connection against a scripted peer, the figures, the command's errors."""

from __future__ import annotations

import multiprocessing
import socket
import struct
import threading
from collections.abc import Callable

import pytest

from bench import frames, load
from bench.connection import Connection, LoadError
from bench.frames import PeerFault
from bench.load import Load

Script = Callable[[socket.socket], None]


def serve(script: Script) -> tuple[int, threading.Thread]:
    """A listener whose one connection runs ``script``; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with listener:
            peer, _ = listener.accept()
            with peer:
                script(peer)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def shake_hands(peer: socket.socket) -> None:
    """The broker's half of the handshake, up to channel.open-ok."""
    replies = [
        frames.method(0, frames.CONNECTION_START, b"\x00\x09"),
        frames.method(0, frames.CONNECTION_TUNE, struct.pack(">HIH", 2047, 131072, 60)),
        frames.method(0, frames.CONNECTION_OPEN_OK, b"\x00"),
        frames.method(1, frames.CHANNEL_OPEN_OK, bytes(4)),
    ]
    peer.recv(8, socket.MSG_WAITALL)
    peer.sendall(replies[0])
    expected = [frames.CONNECTION_START_OK, frames.CONNECTION_OPEN, frames.CHANNEL_OPEN]
    received = bytearray()
    for method_id, reply in zip(expected, replies[1:], strict=True):
        while True:
            size = frames.next_frame(received, 0, len(received))
            if not size:
                received += peer.recv(65536)
                continue
            found = frames.method_id_at(received, 0)
            del received[:size]
            if found == method_id:
                break
        peer.sendall(reply)


def test_a_call_reads_past_heartbeats_to_its_reply() -> None:
    def script(peer: socket.socket) -> None:
        shake_hands(peer)
        peer.recv(65536)
        reply = frames.shortstr("q") + struct.pack(">II", 3, 0)
        heartbeat = frames.frame(frames.FRAME_HEARTBEAT, 0, b"")
        peer.sendall(heartbeat + frames.method(1, frames.QUEUE_DECLARE_OK, reply))

    port, thread = serve(script)
    connection = Connection("127.0.0.1", port, 5.0)
    answer = connection.call(frames.queue_declare("q"), frames.QUEUE_DECLARE_OK)
    connection.socket.close()
    thread.join()
    assert answer == b"\x01q\x00\x00\x00\x03\x00\x00\x00\x00"
    assert connection.frame_max == 131072


def test_a_close_in_answer_is_one_line() -> None:
    def script(peer: socket.socket) -> None:
        shake_hands(peer)
        peer.recv(65536)
        text = struct.pack(">H", 403) + frames.shortstr("ACCESS_REFUSED") + bytes(4)
        peer.sendall(frames.method(0, frames.CONNECTION_CLOSE, text))

    port, thread = serve(script)
    connection = Connection("127.0.0.1", port, 5.0)
    with pytest.raises(PeerFault, match="closed the connection: 403 ACCESS_REFUSED"):
        connection.call(frames.queue_declare("q"), frames.QUEUE_DECLARE_OK)
    connection.socket.close()
    thread.join()


def test_a_peer_that_hangs_up_and_one_that_says_nothing() -> None:
    port, thread = serve(lambda peer: None)
    with pytest.raises(LoadError, match=r"ended without a close method|lost"):
        Connection("127.0.0.1", port, 5.0)
    thread.join()
    done = threading.Event()
    port, thread = serve(lambda peer: bool(done.wait()) and None)
    with pytest.raises(LoadError, match=rf"nothing from 127.0.0.1:{port} for 0.05 s"):
        Connection("127.0.0.1", port, 0.05)
    done.set()
    thread.join()


def test_figures_run_from_the_start_to_the_last_worker() -> None:
    reports = [
        load._Report("publisher", 12.0, 0.25, [0.001, 0.002]),
        load._Report("publisher", 11.0, 0.25, [0.004]),
        load._Report("consumer", 14.0, 0.5),
        load._Report("consumer", 13.0, 0.5),
    ]
    figures = load._figures(Load(port=1, count=100, queues=2), reports, 10.0)
    assert figures == load.Figures(200, 100, 50, 4.0, 1.5, 2.0, 4.0)


def test_a_worker_alone_has_tenths_and_the_other_role_no_rate() -> None:
    tenths = [11.0 + number for number in range(10)]
    reports = [load._Report("publisher", 20.0, 0.25, [], tenths)]
    figures = load._figures(Load(port=1, count=100), reports, 10.0)
    assert (figures.publish_per_s, figures.consume_per_s) == (10, 0)
    assert figures.publish_tenths_per_s == [10] * 10
    assert (figures.duration_s, figures.confirm_p50_ms) == (10.0, None)


def test_publishers_share_the_messages_of_a_queue() -> None:
    whole = Load(port=1, count=10, publishers=4)
    assert [whole.of_publisher(number).count for number in range(4)] == [3, 3, 2, 2]


def confirm_each(peer: socket.socket, count: int) -> list[int]:
    """Confirm publishes one by one; returns how many were new in each batch of bytes."""
    peer.recv(65536)  # confirm.select
    peer.sendall(frames.method(1, frames.CONFIRM_SELECT_OK))
    received, confirmed, batches = bytearray(), 0, []
    while confirmed < count:
        more = peer.recv(65536)
        assert more, f"the publisher has gone after {confirmed} of {count}"
        received += more
        new = 0
        while size := frames.next_frame(received, 0, len(received)):
            new += frames.method_id_at(received, 0) == frames.BASIC_PUBLISH
            del received[:size]
        batches.append(new)
        for _ in range(new):
            confirmed += 1
            peer.sendall(frames.basic_ack(confirmed, multiple=False))
    return batches


@pytest.mark.parametrize("rate", [0, 5000])
def test_a_publisher_measures_each_confirm(rate: int) -> None:
    batches: list[int] = []

    def script(peer: socket.socket) -> None:
        shake_hands(peer)
        batches.extend(confirm_each(peer, 40))
        peer.recv(65536)
        peer.sendall(frames.method(0, frames.CONNECTION_CLOSE_OK))

    port, thread = serve(script)
    pipe, _other = multiprocessing.Pipe()
    start = multiprocessing.Event()
    start.set()
    work = Load(port=port, count=40, confirm=10, rate=rate, timeout_s=5.0)
    notes = load._publish(work, "q", pipe, start)
    thread.join()
    assert sum(batches) == 40
    assert len(notes.latencies.seconds) == (40 if rate else 8)  # one by one, or half windows
    assert min(notes.latencies.seconds) > 0
    assert len(notes.progress.tenths_at_s) == 10


def test_a_rate_needs_a_window(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load.main(["--rate", "5"])
    assert "--rate needs --confirm" in capsys.readouterr().err


def test_the_command_says_one_line_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, not listening: connecting is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert load.main(["--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"bench.load: cannot connect to 127.0.0.1:{port}: ")
    assert said.err.count("\n") == 1
