"""`rabbitry definitions`: all that is declared, as a file in RabbitMQ's form."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from rabbitry.commands.asking import DataDir, directory
from rabbitry.runtime.errors import UserError

app = App(
    name="definitions",
    help="Definitions as RabbitMQ exports and imports them: users, virtual hosts, permissions, "
    "policies, queues, exchanges, bindings.\n\nExample: `rabbitry definitions export -`",
)


@app.command
def export(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)], /, *, data_dir: DataDir = None
) -> int:
    """Write the definitions to a file that only you can read: it has hashes of passwords.

    Example: `rabbitry definitions export definitions.json`

    Parameters
    ----------
    file
        The file; - for standard output.
    """
    import msgspec

    from rabbitry.runtime.operating import definitions

    found = definitions(directory(data_dir))
    text = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    if file == "-":
        sys.stdout.write(text.decode())
        return 0
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "wb") as opened:
            opened.write(text)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from None
    print(f"wrote {file}")
    return 0


@app.command(name="import")
def import_file(file: Path, /, *, data_dir: DataDir = None) -> int:
    """Carry out a file of definitions, RabbitMQ's or ours: all of it, or nothing of it.

    What is there already stays; doing it twice changes nothing.

    Example: `rabbitry definitions import definitions.json`

    Parameters
    ----------
    file
        The file.
    """
    from rabbitry.runtime.operating import import_definitions

    count = import_definitions(directory(data_dir), file)
    print(f"imported {count} definitions from {file}")
    return 0
