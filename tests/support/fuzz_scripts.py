"""What a fuzzer's bytes mean: a script for one stranger, played on a scene, and what must hold.

A script's first byte says where it is said (`STAGES`), its second into how many pieces it is cut,
the rest is what is said. In stages that end in "frames" the rest is `kind, channel, length (16
bits), payload` again and again, and sizes and end octets are put in here: thus a mutation changes
what is in frames and does not only break them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from support.hostile_peer import Scene, Stranger

STAGES = (
    "amqp before login",
    "amqp after login",
    "amqp frames",
    "cluster",
    "cluster frames",
    "coordinator",
    "coordinator frames",
)
PIECES_MAX = 16
SCRIPT_BYTES_MAX = 16384
SECOND_US = 1_000_000
# Longer than a handshake, a close and a login of the cluster may take.
PATIENCE_US = 31 * SECOND_US

_frame_of_script = struct.Struct(">BBH")


def play(script: bytes) -> Stranger | None:
    """Play a script; `AssertionError` or any other exception means a bug of ours."""
    if len(script) < 2:
        return None
    stage = STAGES[script[0] % len(STAGES)]
    said = script[2:SCRIPT_BYTES_MAX]
    scene = Scene(cluster=not stage.startswith("amqp"))
    if stage.startswith("amqp"):
        stranger = scene.stranger()
        if stage != "amqp before login":
            stranger.log_in(1, 2, frame_max=4096)
            assert stranger.judge is not None
            assert stranger.judge.said[-1] == (2, "channel.open-ok")
        if stage.endswith("frames"):
            said = amqp_frames(said)
    else:
        host = scene.network.hosts["coordinator" if stage.startswith("coord") else "a"]
        stranger = Stranger(scene.network, host, "cluster")
        if stage.endswith("frames"):
            said = cluster_frames(said)
    for piece in cut(said, script[1] % PIECES_MAX + 1):
        stranger.write(piece)
        scene.neighbour.check()
    _check_the_end(scene, stranger, stage)
    return stranger


def _check_the_end(scene: Scene, stranger: Stranger, stage: str) -> None:
    scene.network.wait(2 * SECOND_US if "after" in stage or "amqp f" in stage else PATIENCE_US)
    if stage in ("amqp frames", "amqp after login"):
        stranger.hang_up()
    elif stage == "amqp before login":
        said = stranger.judge.said if stranger.judge else []
        assert stranger.closed or (0, "connection.open-ok") in said, "a handshake without end"
    else:
        assert stranger.closed, "a login without end"
        assert sum(map(len, stranger.answers)) < 1024
    stranger.hang_up()
    scene.check_forgotten()


def cut(said: bytes, pieces: int) -> Iterator[bytes]:
    """Cut bytes into so many pieces, nearly equal, none empty."""
    step = max(-(-len(said) // pieces), 1)
    for start in range(0, len(said), step):
        yield said[start : start + step]


def _script_frames(said: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + _frame_of_script.size <= len(said):
        kind, channel, size = _frame_of_script.unpack_from(said, at)
        at += _frame_of_script.size
        yield kind, channel, said[at : at + size]
        at += size


def amqp_frames(said: bytes) -> bytes:
    """Return the frames that the script means, whole."""
    return b"".join(
        struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
        for kind, channel, payload in _script_frames(said)
    )


def cluster_frames(said: bytes) -> bytes:
    """Return the cluster's frames that the script means, whole."""
    return b"".join(
        len(payload).to_bytes(4, "big") + payload for _, _, payload in _script_frames(said)
    )


def script_of(stage: str, frames: bytes, pieces: int = 1) -> bytes:
    """Return the script that says these whole AMQP frames in a stage of frames."""
    parts = [bytes((STAGES.index(stage), pieces - 1))]
    at = 0
    while at < len(frames):
        kind, channel, size = struct.unpack_from(">BHI", frames, at)
        assert channel < 256, "a script has one byte for it"
        parts += (_frame_of_script.pack(kind, channel, size), frames[at + 7 : at + 7 + size])
        at += size + 8
    return b"".join(parts)
