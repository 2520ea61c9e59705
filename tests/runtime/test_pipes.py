"""Pipes are borrowed and given back; there are only so many, and few are kept while idle."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

import pytest

from rabbitry.runtime import pipes
from rabbitry.runtime.pipes import IDLE_PIPES_MAX, PIPE_SIZE_BYTES, PIPES_MAX, PipePool


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_pipe_that_was_given_back_is_taken_again() -> None:
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    size = fcntl.fcntl(pipe.writer, fcntl.F_GETPIPE_SZ)
    assert 65536 <= size <= PIPE_SIZE_BYTES
    assert not os.get_blocking(pipe.reader) and not os.get_inheritable(pipe.writer)
    pool.give(pipe)
    assert pool.take() == pipe
    pool.drop(pipe)
    assert not is_open(pipe.reader) and not is_open(pipe.writer)
    assert pool.count == 0


def test_there_are_only_so_many_and_few_are_kept_idle() -> None:
    pool = PipePool()
    taken = [pipe for _ in range(PIPES_MAX) if (pipe := pool.take()) is not None]
    assert len(taken) == PIPES_MAX and pool.take() is None
    for pipe in taken:
        pool.give(pipe)
    assert pool.count == IDLE_PIPES_MAX
    assert sum(is_open(pipe.reader) for pipe in taken) == IDLE_PIPES_MAX
    pool.close()
    assert pool.count == 0 and not any(is_open(pipe.reader) for pipe in taken)


def test_none_is_to_be_had_without_descriptors_or_without_splice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_files(flags: int) -> Any:
        raise OSError(errno.EMFILE, "none left")

    with monkeypatch.context() as changed:
        changed.setattr(os, "pipe2", out_of_files)
        pool = PipePool()
        assert pool.take() is None and pool.count == 0
    monkeypatch.setattr(pipes, "CAN_SPLICE", False)
    assert PipePool().take() is None


def test_a_pipe_that_may_not_be_large_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(fd: int, command: int, argument: int) -> int:
        raise PermissionError(errno.EPERM, "over the quota")

    monkeypatch.setattr(fcntl, "fcntl", denied)
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    pool.drop(pipe)
