"""Every script that is kept, played: conversations that fuzzing starts from, and what it found.

A script of the corpus must end as `support.fuzz_scripts` says, with little work for each byte.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from support.fuzz_scripts import STAGES, amqp_frames, play, script_of
from support.fuzz_seeds import CORPUS, conversations, seeds

# Calls of functions while a script is played: for the scene, and for each byte that is said.
CALLS_OF_SCENE_MAX = 40_000
CALLS_OF_BYTE_MAX = 100


def scripts() -> list[Path]:
    return sorted(CORPUS.iterdir())


def calls_of(work: Callable[[], object]) -> int:
    """Count the calls of Python functions in `work`."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_a_script_of_the_corpus(path: Path) -> None:
    script = path.read_bytes()
    calls = calls_of(lambda: play(script))
    assert calls < CALLS_OF_SCENE_MAX + CALLS_OF_BYTE_MAX * len(script)


def test_the_corpus_has_all_seeds() -> None:
    """`python -m support.fuzz_seeds` in tests/ writes them."""
    kept = {path.name: path.read_bytes() for path in scripts()}
    for name, script in seeds().items():
        assert kept.get(name.replace(" ", "-")) == script, name


def test_seeds_say_what_was_recorded() -> None:
    for said in conversations().values():
        frames = b"".join(said)
        assert amqp_frames(script_of("amqp frames", frames)[2:]) == frames


def test_seeds_are_said_everywhere() -> None:
    assert {script[0] for script in seeds().values()} == set(range(len(STAGES)))
