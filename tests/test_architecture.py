"""The architecture as a test: `.importlinter` holds, and would catch what it forbids.

Runs import-linter as its command does, over the real tree and over small made-up trees with one
wrong import each. A room that is named in `.importlinter` and does not exist in a tree is left out
of the contracts for that tree, since import-linter takes an absent module for a mistake.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "wire": [],
    "machine": [],
    "connection": ["wire"],
    "broker": ["connection", "machine", "wire"],
    "balancer": ["connection", "machine"],
    "client.recovery": ["connection", "machine"],
    "cluster": ["broker", "machine"],
    "node": ["cluster", "broker", "connection"],
    "runtime": ["node", "balancer"],
    "simulation": ["node", "balancer", "client.recovery"],
    "engines": ["runtime"],
    "console": ["runtime"],
    "commands": ["runtime"],
    "drill": ["connection", "client.recovery"],
    "client.faces": ["client.recovery", "runtime"],
    "cli": ["engines", "console", "commands", "drill", "client.faces"],
}
EDGE_MODULES = ["asyncio", "socket", "time", "random", "os", "threading", "uuid", "secrets"]
PURE_ROOMS = ["machine", "wire", "connection", "broker"]
PURE_ROOMS += ["balancer", "client.recovery", "cluster", "node"]


def read_contracts() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read_string((ROOT / ".importlinter").read_text())
    return config


def module_exists(source: Path, module: str) -> bool:
    path = source.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def contracts_for(source: Path, scratch: Path) -> Path:
    """Write `.importlinter` without the rooms that `source` lacks; return the new file's path."""
    config = read_contracts()
    for section in config.sections():
        for option in ("source_modules", "forbidden_modules"):
            if not config.has_option(section, option):
                continue
            kept = [
                name
                for name in config.get(section, option).split()
                if not name.startswith("rabbitry.") or "*" in name or module_exists(source, name)
            ]
            if kept:
                config.set(section, option, "\n" + "\n".join(kept))
            else:
                config.remove_section(section)
                break
    path = scratch / "importlinter.ini"
    with path.open("w") as file:
        config.write(file)
    return path


def lint(source: Path, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Check the package `rabbitry` in the directory `source` with the project's contracts."""
    return subprocess.run(
        [
            *[sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
            *["--no-cache", "--config", str(contracts_for(source, scratch))],
        ],
        capture_output=True,
        text=True,
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": str(source), "NO_COLOR": "1", "COLUMNS": "200"},
        check=False,
    )


def make_tree(source: Path, extra_imports: dict[str, str]) -> None:
    """Make a package with every room, each with its lawful imports and those of `extra_imports`."""
    for room, lawful in ROOMS.items():
        path = source.joinpath("rabbitry", *room.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"import rabbitry.{other}" for other in lawful]
        if room in extra_imports:
            lines.append(f"import {extra_imports[room]}")
        path.write_text("\n".join(lines) + "\n")
    (source / "rabbitry" / "client" / "__init__.py").write_text("")
    (source / "rabbitry" / "__init__.py").write_text("")


def test_the_source_keeps_the_architecture(tmp_path: Path) -> None:
    result = lint(ROOT / "src", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_every_room_has_its_place() -> None:
    layers = read_contracts().get("importlinter:contract:layers", "layers")
    placed = {name.strip("()").split(".")[1] for name in layers.split() if name != "|"}
    placed |= {"client", "__init__"}
    package = ROOT / "src" / "rabbitry"
    rooms = {path.stem for path in package.glob("*.py")}
    rooms |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms <= placed, "enter these in .importlinter: " + ", ".join(sorted(rooms - placed))


def test_every_directory_of_the_package_is_a_package() -> None:
    """import-linter and mypy look over a directory without `__init__.py`."""
    package = ROOT / "src" / "rabbitry"
    bare = {
        str(path.parent.relative_to(ROOT))
        for path in package.rglob("*.py")
        if not (path.parent / "__init__.py").is_file()
    }
    assert not bare, "no __init__.py in: " + ", ".join(sorted(bare))


def test_the_lawful_tree_passes(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {})
    result = lint(tmp_path / "tree", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "imported"),
    [
        ("wire", "rabbitry.machine"),
        ("machine", "rabbitry.wire"),
        ("wire", "rabbitry.connection"),
        ("connection", "rabbitry.broker"),
        ("broker", "rabbitry.balancer"),
        ("broker", "rabbitry.client.recovery"),
        ("client.recovery", "rabbitry.balancer"),
        ("client.recovery", "rabbitry.client.faces"),
        ("cluster", "rabbitry.node"),
        ("node", "rabbitry.runtime"),
        ("runtime", "rabbitry.simulation"),
        ("runtime", "rabbitry.console"),
        ("simulation", "rabbitry.client.faces"),
        ("drill", "rabbitry.client.faces"),
        ("client.faces", "rabbitry.engines"),
        ("console", "rabbitry.cli"),
    ],
)
def test_an_import_upwards_or_sideways_is_caught(room: str, imported: str, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {room: imported})
    result = lint(tmp_path / "tree", tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"rabbitry.{room} -> {imported}" in result.stdout


@pytest.mark.parametrize("module", EDGE_MODULES)
def test_the_outside_world_in_a_pure_room_is_caught(module: str, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", dict.fromkeys(PURE_ROOMS, module))
    result = lint(tmp_path / "tree", tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    missed = [r for r in PURE_ROOMS if f"rabbitry.{r} -> {module}" not in result.stdout]
    assert not missed, result.stdout


def test_a_pure_room_reaches_the_outside_world_through_no_other_module(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {"wire": "rabbitry"})
    (tmp_path / "tree" / "rabbitry" / "__init__.py").write_text("import time\n")
    result = lint(tmp_path / "tree", tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "rabbitry -> time" in result.stdout


def test_absent_rooms_break_nothing_and_hide_nothing(tmp_path: Path) -> None:
    package = tmp_path / "tree" / "rabbitry"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "machine.py").write_text("")
    assert lint(tmp_path / "tree", tmp_path).returncode == 0
    (package / "machine.py").write_text("import random\n")
    assert lint(tmp_path / "tree", tmp_path).returncode == 1
