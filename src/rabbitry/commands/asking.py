"""What the groups of commands share: the data directory, a password, a table.

Owns how a password comes in: typed at a prompt that does not show it, or the first line of standard
input where that is no terminal. Never an argument: those are seen by everybody.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rabbitry.runtime.errors import UserError

DataDir = Annotated[
    Path | None,
    Parameter(help="Data directory [default: $RABBITRY_DATA_DIR, else ~/.local/state/rabbitry]."),
]
VirtualHost = Annotated[str, Parameter(name=("--vhost", "-p"), help="The virtual host.")]


def directory(chosen: Path | None) -> Path:
    """Return the data directory that is meant."""
    if chosen == Path():
        # What an unset variable in a script becomes; nobody wants logs and sockets strewn there.
        raise UserError("--data-dir is empty or the current directory; name a directory of its own")
    if chosen is not None:
        return chosen.absolute()
    from rabbitry.runtime.data_directory import default_path

    return default_path().absolute()


def password_of(user: str) -> str:
    """Return the password that somebody types, twice the same, or that standard input has."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {user}: ")
        if getpass.getpass("Once more: ") != password:
            raise UserError("the two passwords are not the same")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UserError("the password is empty; type one, or give it as a line of standard input")
    return password


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as columns of text, under their head."""
    texts = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    ]
    return "\n".join(lines)
