"""A `tcp-check` script carried out on one server: connect, send, expect, step by step.

Owns the order of steps, what is waited for, and HAProxy's texts (src/tcpcheck.c; src/check.c,
`chk_report_conn_err`). A check without a script is a script of one implicit connect whose texts
name no step. Does not own links and time: `balancer.checks` carries out what is wanted.

How expects read (`tcpcheck_main`): what the server sends gathers in one buffer, which a send or a
connect empties. Expects that follow one another look at the same bytes; when one needs more, all of
them from the first look again at what there is then. The end of what the server sends, and a full
buffer, make every expect decide.

Invariants: no more than `BUFFER_SIZE_BYTES` are kept; after `result` is set nothing changes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rabbitry.balancer.checking.results import Connect, Result, Send, Want, result
from rabbitry.balancer.configuration.model import CheckStep

BUFFER_SIZE_BYTES: Final = 16384
"""HAProxy's `tune.bufsize`."""

_EXPECTED: Final = {
    "string": "(expect string '{}')",
    "binary": "(expect binary '{}')",
    "rstring": "(expect regex)",
    "rbinary": "(expect binary regex)",
}
_MISMATCHED: Final = {
    "string": " '{}'",
    "binary": " (binary)",
    "rstring": " (regex)",
    "rbinary": " (binary regex)",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step in its place. `number` is what texts call it: 0 for the connect nobody wrote."""

    line: CheckStep
    number: int
    comment: str
    pattern: re.Pattern[bytes] | None = None

    @property
    def implicit(self) -> bool:
        """Whether nobody wrote it."""
        return self.number == 0


@dataclass(frozen=True, slots=True)
class Script:
    """Steps to carry out. `named`: whether failures tell the step (`option tcp-check`)."""

    steps: tuple[Step, ...]
    named: bool

    @property
    def gently(self) -> bool:
        """Whether its links are to be closed with care for what was sent."""
        return self.steps[-1].line.kind == "send" or any(step.line.linger for step in self.steps)


PLAIN: Final = Script((Step(CheckStep("connect"), 0, ""),), named=False)
"""The check of a backend without `option tcp-check`: it connects."""


def prepared(lines: tuple[CheckStep, ...]) -> Script:
    """Return the script of these `tcp-check` lines (`check_proxy_tcpcheck`).

    Unless it begins with a connect, one is put before it. A comment goes to the connect behind it,
    or to all of a row of sends, or of expects, behind it.
    """
    steps: list[Step] = []
    first = next((line for line in lines if line.kind != "comment"), None)
    if first is None or first.kind != "connect":
        steps.append(Step(CheckStep("connect"), 0, ""))
    comment, before = "", "connect" if steps else "comment"
    for number, line in enumerate(lines, start=1):
        if line.kind != before and before != "comment":
            comment = ""
        before = line.kind
        if line.kind == "comment":
            comment = line.comment
            continue
        pattern = None
        if line.match in ("rstring", "rbinary"):
            pattern = re.compile(line.data)
        steps.append(Step(line, number, line.comment or comment, pattern))
        if line.kind == "connect":
            comment = ""
    return Script(tuple(steps), named=True)


class ScriptRun:
    """One run of a script: see `Run`. `tls`: whether a connect by default is under TLS."""

    def __init__(self, script: Script, tls: bool = False) -> None:
        self.result: Result | None = None
        self._tls_by_default = tls
        self._script = script
        self._at = 0  # the step that is due, or waits
        self._opening = False
        self._tls = False
        self._buffer = b""
        self._ended = False  # the server has sent all it will send
        self._fresh = False  # it has sent something since an expect last looked

    def begin(self) -> list[Want]:
        """The check begins."""
        return self._go_on()

    def opened(self) -> list[Want]:
        """The link is open."""
        self._opening = False
        self._at += 1
        return self._go_on()

    def received(self, data: bytes) -> list[Want]:
        """The server has sent these bytes."""
        room = BUFFER_SIZE_BYTES - len(self._buffer)
        self._buffer += data[:room]
        self._fresh = True
        return self._go_on()

    def finished(self) -> list[Want]:
        """The server has sent all it will send."""
        self._ended = True
        self._fresh = True
        return self._go_on()

    def broken(self, reason: str, status: str) -> None:
        """The link broke, or could not be opened.

        What came before is still judged: a reset behind the last bytes is nothing unusual.
        """
        if self.result is not None:
            return
        if not self._opening and self._buffer:
            self.finished()
        if self.result is None:
            self.result = result(status if self._opening else "SOCKERR", reason + self._where())

    def expired(self, status: str) -> None:
        """Time is over."""
        if self.result is not None:
            return
        step = self._step
        if not self._opening:
            status = "L7TOUT"
            if step is not None and step.line.kind == "expect":
                status = step.line.timeout_status
        self.result = result(status, self._where())

    # --- steps ------------------------------------------------------------------------------------

    @property
    def _step(self) -> Step | None:
        steps = self._script.steps
        return steps[self._at] if self._at < len(steps) else None

    def _go_on(self) -> list[Want]:
        """Carry out steps until one must wait, or the script is over."""
        wants: list[Want] = []
        while self.result is None and not self._opening:
            step = self._step
            if step is None:
                self._pass()
            elif step.line.kind == "connect":
                wants.append(self._connect(step.line))
            elif step.line.kind == "send":
                self._buffer = b""
                self._fresh = False
                wants.append(Send(step.line.data))
                self._at += 1
            elif self._expect(step):
                self._at += 1
            else:
                break
        return wants

    def _connect(self, line: CheckStep) -> Connect:
        self._opening = True
        self._ended = self._fresh = False
        self._buffer = b""
        by_default = line.default or self._script.steps[self._at].implicit
        self._tls = line.tls or (by_default and self._tls_by_default)
        return Connect(line.address, line.port, line.tls, line.send_proxy, by_default, line.sni)

    def _expect(self, step: Step) -> bool:
        """Whether an expect is satisfied; if not, it waits for more or the check has failed."""
        before = self._script.steps[self._at - 1]
        if before.line.kind != "expect":  # the first of its row: it needs something to look at
            if not self._fresh and not self._ended:
                return False
            if not self._buffer:
                text = f"TCPCHK got an empty response at step {step.number}"
                text += f" comment: '{step.comment}'" if step.comment else ""
                self.result = result(step.line.error_status, text)
                return False
        line = step.line
        last = self._ended or len(self._buffer) >= BUFFER_SIZE_BYTES
        if not last and (
            (line.match in ("string", "binary") and len(self._buffer) < len(line.data))
            or len(self._buffer) < line.minimum_bytes
        ):
            return self._look_again()
        matched = _matches(step, self._buffer)
        if not matched and not last and line.minimum_bytes < 0:
            return self._look_again()
        if matched is not line.negated:
            return True
        self.result = result(line.error_status, _refusal(step, matched))
        return False

    def _look_again(self) -> bool:
        """Wait for more bytes, and let the whole row of expects look at them."""
        steps = self._script.steps
        while steps[self._at - 1].line.kind == "expect":
            self._at -= 1
        self._fresh = False
        return False

    def _pass(self) -> None:
        step = self._script.steps[-1]
        line = step.line
        if line.kind == "expect":
            self.result = result(line.ok_status, line.on_success or "(tcp-check)")
        elif line.kind == "connect":
            self.result = result("L6OK" if self._tls else "L4OK", self._told(step))
        else:
            self.result = result("L7OK", "(tcp-check)")

    @staticmethod
    def _told(step: Step) -> str:
        return "" if step.implicit else "(tcp-check)"

    def _where(self) -> str:
        """The step, as the text of a broken or silent link ends with it (`chk_report_conn_err`)."""
        if not self._script.named:
            return ""
        step = self._step or self._script.steps[-1]
        if step.implicit:
            return " at initial connection step of tcp-check"
        line = step.line
        if line.kind == "connect":
            what = f"(connect port {line.port})" if line.port else "(connect)"
        elif line.kind == "send":
            what = "(send)"
        else:
            what = _EXPECTED[line.match].format(_shown(line.data))
        comment = f" comment: '{step.comment}'" if step.comment else ""
        return f" at step {step.number} of tcp-check {what}{comment}"


def _matches(step: Step, buffer: bytes) -> bool:
    if step.pattern is None:
        return step.line.data in buffer
    if step.line.match == "rbinary":
        buffer = buffer.hex().upper().encode()
    return step.pattern.search(buffer) is not None


def _refusal(step: Step, matched: bool) -> str:
    line = step.line
    text = line.on_error
    if not text:
        text = "TCPCHK matched unwanted content" if matched else "TCPCHK did not match content"
        text += _MISMATCHED[line.match].format(_shown(line.data)) + f" at step {step.number}"
    return text + (f" comment: {step.comment}" if step.comment else "")


def _shown(data: bytes) -> str:
    """Bytes in a text, which ends at a zero in HAProxy; what cannot be printed as in its log."""
    text = data.partition(b"\0")[0]
    return "".join(chr(byte) if 32 <= byte < 127 else f"<{byte:02X}>" for byte in text)
