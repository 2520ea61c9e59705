"""Child processes of the supervisor: started, known to be ready, ended, noticed when they are gone.

Owns one child each. A child gets its settings as the first line of its standard input, where
neither `ps` nor its environment shows them, and says on a pipe of its own that it serves: one JSON
object, {"ready": {...}} or {"failed": "one line"}; one that was ready may say that too, as its last
word: why it ends. Its standard input stays open as long as the
supervisor lives; when it ends, the child goes too, however the supervisor died. Whether to start a
child again is not decided here (see `managed` and `restarts`).

Invariants: `exited` is set exactly once, after the child was reaped; `ready` is set at most once,
before or when it exits. A child is in a process group of its own: Ctrl-C in the terminal reaches
the supervisor alone, which ends the children in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

READY_BYTES_MAX = 64 * 1024
"""Longest line of a child on its ready pipe."""


class ChildFailed(Exception):
    """A child ended, or said that it could not do its work, before it was ready. One line."""


class Child:
    """A child process: running from the moment it is made."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        settings: bytes = b"",
        log: Path,
        keeps: Sequence[int] = (),
    ) -> None:
        """Start `arguments` plus `--ready-fd N`; its output and errors are appended to `log`.

        `settings` is one line without its end; empty for a child that expects none. `keeps` are
        open files that it has too, as long as it lives.
        Raises OSError if it cannot be started.
        """
        self.name = name
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._said = b""
        self.last_word = ""  # why it ends, from one that was ready
        self._told_stopped = False
        self.ready: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._ready_pipe, theirs = os.pipe()
        try:
            with log.open("ab") as output:
                self._log_start = output.tell()
                self._process = subprocess.Popen(
                    [*arguments, "--ready-fd", str(theirs)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    pass_fds=(theirs, *keeps),
                    process_group=0,
                )
        except BaseException:
            os.close(self._ready_pipe)
            raise
        finally:
            os.close(theirs)
        self.pid = self._process.pid
        if settings:
            self.give(settings)
        os.set_blocking(self._ready_pipe, False)
        self._loop.add_reader(self._ready_pipe, self._read_ready)
        self._watch_exit()

    @property
    def alive(self) -> bool:
        """Whether it has not been noticed to be gone."""
        return not self.exited.done()

    @property
    def stopped(self) -> bool:
        """Whether it is stopped by SIGSTOP, by whoever sent that."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                # The name before it, in parentheses, may contain anything; see proc(5).
                return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        except (OSError, IndexError):
            return self.alive and self._told_stopped  # no procfs here: what we did ourselves

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens if it is gone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if number in (signal.SIGSTOP, signal.SIGCONT):
                self._told_stopped = number == signal.SIGSTOP

    async def stop(self, grace_s: float) -> None:
        """End it: ask with SIGTERM, insist with SIGKILL after `grace_s`; return when it is gone."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # one that was stopped could not even hear of it
        await asyncio.wait([self.exited], timeout=grace_s)
        self.signal(signal.SIGKILL)
        await asyncio.wait([self.exited])

    def give(self, line: bytes) -> None:
        """Write a short line, given without its end, to its standard input."""
        assert self._process.stdin is not None
        # Far below what a pipe holds, so this cannot block; that a child is gone, we notice.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _read_ready(self) -> None:
        try:
            chunk = os.read(self._ready_pipe, 4096)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._said += chunk
        *lines, self._said = self._said.split(b"\n")
        for line in lines:
            self._hear(line)
        if not chunk or len(self._said) >= READY_BYTES_MAX:
            self._close_ready_pipe()  # where it has not said a word, `_gone` will tell

    def _hear(self, line: bytes) -> None:
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            said = {"failed": "it said something that is not understood when it started"}
        if "failed" in said:
            failed = f"{self.name}: {said['failed']}"
            if self.ready.done():
                self.last_word = failed
            else:
                self._fail(failed)
        elif not self.ready.done():
            self.ready.set_result(said.get("ready") or {})

    def _close_ready_pipe(self) -> None:
        if self._ready_pipe >= 0:
            self._loop.remove_reader(self._ready_pipe)
            os.close(self._ready_pipe)
            self._ready_pipe = -1

    def _watch_exit(self) -> None:
        if hasattr(os, "pidfd_open"):
            watch = os.pidfd_open(self.pid)

            def gone() -> None:
                self._loop.remove_reader(watch)
                os.close(watch)
                self._gone(self._process.wait())

            self._loop.add_reader(watch, gone)
        else:  # no Linux: a thread waits
            waiting = self._loop.run_in_executor(None, self._process.wait)
            waiting.add_done_callback(lambda done: self._gone(done.result()))

    def _gone(self, code: int) -> None:
        if self._ready_pipe >= 0:
            self._read_ready()  # it may have said why, just before it went
            self._close_ready_pipe()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if not self.ready.done():
            self._fail(f"{self.name}: {self._last_words() or ended(code)}; its log is {self._log}")
        self.exited.set_result(code)

    def _fail(self, line: str) -> None:
        self.ready.set_exception(ChildFailed(line))
        self.ready.exception()  # somebody may be waiting for it, nobody has to

    def _last_words(self) -> str:
        """Return the last line that it wrote since it was started."""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
            return lines[-1].strip() if lines else ""
        return ""


def ended(code: int) -> str:
    """Say how a process ended, from the return code that `subprocess` gives."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def raise_open_files_limit() -> None:
    """Let this process have as many files open as the system allows: each link is one.

    The soft limit is 1024 on most systems, only so that old programs with select(2) survive.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
