"""Messages that are too long, and very many that are alike (`rabbitry.wire.content`)."""

from __future__ import annotations

import pytest

from rabbitry.wire.content import ContentAssembler
from rabbitry.wire.frames import content_frames, frame_head, method_frame
from rabbitry.wire.methods import BasicAck, BasicProperties, BasicPublish


def test_a_frame_that_is_too_long_is_refused_by_its_head() -> None:
    assembler = ContentAssembler(4096)
    assert assembler.feed(frame_head.pack(1, 1, 900_000)) == []
    assert assembler.failure is not None
    assert "frame_too_large" in assembler.failure.reply_text


def _message(body: bytes, key: str = "q") -> bytes:
    method = method_frame(1, BasicPublish(routing_key=key).encode())
    return method + content_frames(1, BasicProperties(delivery_mode=2).encode(), body, 4096)


@pytest.mark.parametrize("body", [b"", b"b", b"\xce" * 40])
def test_messages_alike_are_cut_as_others_are(body: bytes) -> None:
    others = [_message(body, "r"), _message(body + b"x"), method_frame(1, BasicAck(1).encode())]
    for other in others:
        stream = _message(body) * 5 + other + _message(body) * 4 + other * 4
        for cut in range(len(stream)):
            assembler = ContentAssembler(4096)
            commands = assembler.feed(stream[:cut]) + assembler.feed(stream[cut:])
            assert assembler.failure is None
            said = b"".join(
                command.frame + content
                for command in commands
                for content in command.contents or [b""]
            )
            assert said == stream


@pytest.mark.parametrize("damaged", range(2, 6))
def test_one_alike_with_a_wrong_end_is_a_fault(damaged: int) -> None:
    one = _message(b"body")
    assembler = ContentAssembler(4096)
    stream = one * damaged + one[:-1] + b"\0" + one
    commands = assembler.feed(stream)
    assert sum(len(command.contents) for command in commands) == damaged
    assert assembler.failure is not None
    assert "invalid_frame_end_marker" in assembler.failure.reply_text
