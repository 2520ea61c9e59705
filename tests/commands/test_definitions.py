"""`rabbitry definitions`: out to a file that is nobody else's, and in again, all or nothing."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
from support.operated import Operated


def test_out_and_in_again(operated: Operated, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    operated.run("vhosts", "add", "shop")
    operated.run("definitions", "export", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    operated.run("vhosts", "delete", "shop")
    operated.run("definitions", "import", str(file))
    assert "shop" in operated.catalog.virtual_hosts
    printed = msgspec.json.decode(operated.run("definitions", "export", "-"))
    assert printed == msgspec.json.decode(file.read_bytes())


def test_a_mistake_says_which_entry_and_changes_nothing(operated: Operated, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text('{"vhosts": [{"name": "v"}], "queues": [{"vhost": "w", "name": "q"}]}')
    assert f"definitions {file}: queues[0] ('q'): vhost w not found" in operated.fails(
        "definitions", "import", str(file)
    )
    assert list(operated.catalog.virtual_hosts) == ["/"]


def test_files_that_are_not_to_be_had(operated: Operated, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file"
    assert f"cannot read definitions {missing}: No such file" in operated.fails(
        "definitions", "import", str(missing)
    )
    assert f"cannot write {missing}: No such file" in operated.fails(
        "definitions", "export", str(missing)
    )
    assert "not JSON" in operated.fails("definitions", "import", __file__)
