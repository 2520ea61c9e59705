"""What HAProxy and we say of a file with `-c`: right or wrong, and which lines are named.

HAProxy is asked as a process; of ours, what the process reads its file with.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

from support.balancer_sides import HAPROXY

from rabbitry.balancer.configuration.model import ConfigurationError
from rabbitry.console.configuration_files import Files


@dataclass(frozen=True)
class Verdict:
    """`code` is the exit code, `lines` the numbers of the lines that are wrong, in order."""

    code: int
    lines: list[int]
    said: str


def haproxy_says(text: str, directory: Path) -> Verdict:
    """HAProxy's verdict; warnings are left out of `lines`."""
    path = _file(text, directory)
    command = [str(HAPROXY), "-c", "-f", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")
    said = done.stdout + done.stderr
    alerts = re.findall(r"^\[ALERT\][^[]*\[[^]]*\.cfg:(\d+)\]", said, re.M)
    return Verdict(done.returncode, _once(alerts), said)


def rabbitry_says(text: str, directory: Path) -> Verdict:
    """Our verdict; every mistake is a line `FILE:LINE: 'WORD' ...`."""
    path = _file(text, directory)
    try:
        Files(path).read()
    except ConfigurationError as error:
        found = [re.match(rf"{re.escape(str(path))}:(\d+): '", line) for line in error.mistakes]
        assert all(found), error.mistakes
        return Verdict(2, _once([each[1] for each in found if each]), str(error))
    return Verdict(0, [], "")


def _file(text: str, directory: Path) -> Path:
    path = directory / "judged.cfg"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def _once(numbers: list[str]) -> list[int]:
    return sorted({int(number) for number in numbers})


def lines_of(text: str) -> str:
    """A text written inside a program as a file's."""
    return textwrap.dedent(text).strip() + "\n"
