"""What is too long is refused as soon as that can be known (`rabbitry.wire.content`)."""

from __future__ import annotations

from rabbitry.wire.content import ContentAssembler
from rabbitry.wire.frames import frame_head


def test_a_frame_that_is_too_long_is_refused_by_its_head() -> None:
    assembler = ContentAssembler(4096)
    assert assembler.feed(frame_head.pack(1, 1, 900_000)) == []
    assert assembler.failure is not None
    assert "frame_too_large" in assembler.failure.reply_text
