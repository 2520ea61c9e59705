"""bench.load: the connection against a scripted peer, the figures, the command's errors."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import pytest

from bench import frames, load
from bench.frames import PeerFault
from bench.load import Connection, Load, LoadError

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
        load._Report("publisher", 12.0, 0.25),
        load._Report("publisher", 11.0, 0.25),
        load._Report("consumer", 14.0, 0.5),
        load._Report("consumer", 13.0, 0.5),
    ]
    figures = load._figures(Load(port=1, count=100, queues=2), reports, 10.0)
    assert figures == load.Figures(200, 100, 50, 4.0, 1.5)


def test_the_command_says_one_line_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, not listening: connecting is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert load.main(["--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"bench.load: cannot connect to 127.0.0.1:{port}: ")
    assert said.err.count("\n") == 1
