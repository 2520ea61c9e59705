"""Style as a test: what reviewers would otherwise have to say again and again.

Shape (docstrings, sizes, names, a test file for each source file), determinism of the pure rooms
(`support.determinism`), and documents whose code compiles and whose links and commands exist.
Each check is a function over a text or a tree, and is itself tested on a text that breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.determinism import find_unordered, set_attributes

from rabbitry.cli import app

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "rabbitry"
LINES_MAX = 500
FUNCTION_LINES_MAX = 60
# The hot loop of the broker: a call for each message would cost what the loop saves.
LONG_FUNCTIONS = ("_cut",)
VAGUE_NAMES = {"utils", "util", "common", "base", "manager", "helpers", "helper", "misc"}
PURE_ROOMS = ["machine", "wire", "connection", "broker", "balancer", "cluster", "node"]
PURE_ROOMS += ["client/recovery"]
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def code_files() -> list[Path]:
    places = (SOURCE, ROOT / "tools", ROOT / "bench", ROOT / "tests")
    return sorted(path for place in places for path in place.rglob("*.py"))


def pure_files() -> list[Path]:
    files = [SOURCE / f"{room}.py" for room in PURE_ROOMS]
    files += [path for room in PURE_ROOMS for path in (SOURCE / room).rglob("*.py")]
    return sorted(path for path in files if path.is_file())


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_generated(text: str) -> bool:
    return re.search(r"\bgenerated\b.*tools/", text[:600], re.I | re.S) is not None


def docstring_fault(text: str) -> str | None:
    docstring = ast.get_docstring(ast.parse(text))
    return None if docstring and len(docstring) >= 20 else "opens with no docstring"


def size_faults(text: str) -> Iterator[str]:
    if is_generated(text):
        return
    if (count := len(text.splitlines())) > LINES_MAX:
        yield f"has {count} lines, more than {LINES_MAX}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES_MAX and node.name not in LONG_FUNCTIONS:
                yield f"{node.name} has {count} lines, more than {FUNCTION_LINES_MAX}"


def only_exports(text: str) -> bool:
    """True for a module of nothing but a docstring, imports and `__all__`."""
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in ast.parse(text).body
    )


def mirror_of(path: Path) -> Path:
    """Where the tests of this source file are; a package's own code is tested by its name."""
    relative = path.relative_to(SOURCE)
    if path.stem == "__init__":
        return ROOT / "tests" / relative.parent / f"test_{path.parent.name}.py"
    return ROOT / "tests" / relative.parent / f"test_{path.stem.strip('_')}.py"


def vague_name(stem: str) -> bool:
    return bool(VAGUE_NAMES.intersection(stem.lower().split("_")))


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def make_targets(text: str) -> list[str]:
    return re.findall(r"(?:`|^ *\$? ?)make ([a-z][a-z-]*)", text, re.M)


def rabbitry_commands(text: str) -> list[str]:
    return re.findall(r"(?:`|^ *\$? ?)(?:\.venv/bin/)?rabbitry ([a-z][a-z-]*)", text, re.M)


def relative_links(text: str) -> list[str]:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", prose)
    return [link for link in links if "://" not in link and not link.startswith("mailto:")]


@pytest.mark.parametrize("path", code_files(), ids=name_of)
def test_file_is_tidy(path: Path) -> None:
    text = path.read_text()
    faults = [*size_faults(text), *filter(None, [docstring_fault(text)])]
    if UNFINISHED.search(text):
        faults.append("has something unfinished")
    if vague_name(path.stem) or vague_name(path.parent.name):
        faults.append("has a name that says nothing")
    assert not faults, f"{name_of(path)}: " + "; ".join(faults)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=name_of)
def test_source_file_has_a_test_file(path: Path) -> None:
    if path.stem == "__init__" and only_exports(path.read_text()):
        return
    if path.stem == "__main__" and len(ast.parse(path.read_text()).body) <= 4:
        return  # docstring, imports and a call: whatever starts a process runs it
    assert mirror_of(path).is_file(), f"missing: {name_of(mirror_of(path))}"


def test_pure_rooms_depend_on_no_order_but_their_own() -> None:
    trees = {name_of(path): ast.parse(path.read_text()) for path in pure_files()}
    sets = set_attributes(trees.values())
    faults = [
        f"{name}:{fault}" for name, tree in trees.items() for fault in find_unordered(tree, sets)
    ]
    assert trees
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_document_is_true(path: Path) -> None:
    text = path.read_text()
    for block in python_blocks(text):
        compile(block, name_of(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for link in relative_links(text):
        assert (path.parent / link).exists(), f"{name_of(path)} links to {link}, which is not there"
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(make_targets(text)) <= set(known), f"{name_of(path)}: unknown make target"
    assert set(rabbitry_commands(text)) <= set(app), f"{name_of(path)}: unknown rabbitry command"


def test_decisions_are_in_their_index() -> None:
    folder = ROOT / "docs" / "decisions"
    notes = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert notes
    linked = relative_links((folder / "README.md").read_text())
    assert not set(notes) - set(linked), "enter these in docs/decisions/README.md"
    numbers = [name[:4] for name in notes]
    assert len(numbers) == len(set(numbers)), "two decisions have the same number"


# --- the checks themselves -----------------------------------------------------------------------


def test_checks_find_what_is_untidy() -> None:
    assert docstring_fault("import ast\n")
    assert docstring_fault('"""Short."""\n')
    assert not docstring_fault('"""What this owns, and what it does not."""\n')
    assert list(size_faults("x = 1\n" * (LINES_MAX + 1)))
    assert not list(size_faults("x = 1\n" * LINES_MAX))
    assert list(size_faults("def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX))
    assert not list(size_faults("def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)))
    assert not list(size_faults('"""Generated by tools/x.py."""\n' + "x = 1\n" * 900))
    assert vague_name("utils")
    assert vague_name("queue_manager")
    assert not vague_name("database")
    assert UNFINISHED.search("# TO" + "DO: later")


def test_checks_know_where_tests_belong() -> None:
    assert mirror_of(SOURCE / "wire" / "values.py") == ROOT / "tests/wire/test_values.py"
    assert mirror_of(SOURCE / "client" / "__init__.py") == ROOT / "tests/client/test_client.py"
    assert only_exports('"""Doc."""\nfrom a import b\n__all__ = ["b"]\n')
    assert not only_exports('"""Doc."""\ndef f(): pass\n')


def test_checks_read_documents() -> None:
    text = "```python\nx = 1\n```\nrun `make up`\n[a](b.md#c) [d](https://e) `[f](g)`\n"
    assert python_blocks(text) == ["x = 1\n"]
    assert make_targets(text) == ["up"]
    assert make_targets("$ make test\n") == ["test"]
    assert relative_links(text) == ["b.md"]
    commands = (
        "`rabbitry up`, the rabbitry room\n    $ rabbitry kill rabbit\n.venv/bin/rabbitry status\n"
    )
    assert rabbitry_commands(commands) == ["up", "kill", "status"]
