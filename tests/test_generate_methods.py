"""The generator: its output is what is committed, formatted, and `--check` tells a difference."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools/generate_methods.py"
COMMITTED = ROOT / "src/rabbitry/wire/methods.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_methods", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def require_spec(tool: ModuleType) -> None:
    if not tool.SPEC.exists():
        pytest.skip(f"the AMQP XML is not here ({tool.SPEC}): apt install amqp-specs")


def test_committed_file_is_what_the_tool_writes(tool: ModuleType, tmp_path: Path) -> None:
    require_spec(tool)
    assert tool.main(["--check"]) == 0
    written = tmp_path / "methods.py"
    assert tool.main(["--output", str(written)]) == 0
    assert written.read_bytes() == COMMITTED.read_bytes()


def test_check_tells_a_difference(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_spec(tool)
    changed = tmp_path / "methods.py"
    assert tool.main(["--check", "--output", str(changed)]) == 1
    changed.write_text(COMMITTED.read_text() + "\n")
    assert tool.main(["--check", "--output", str(changed)]) == 1
    assert str(changed) in capsys.readouterr().err
    assert changed.read_text() == COMMITTED.read_text() + "\n"


def test_missing_or_broken_xml_is_one_line_and_2(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.xml"
    broken.write_text("<amqp>")
    for path in (tmp_path / "absent.xml", broken):
        assert tool.main(["--spec", str(path), "--check"]) == 2
        message = capsys.readouterr().err
        assert str(path) in message and message.count("\n") == 1


def test_nine_bits_side_by_side_take_two_octets(tool: ModuleType) -> None:
    bits = tuple(tool.Field(f"bit_{n}", "bit") for n in range(9))
    method = tool.MethodSpec(1, 2, "some.method", False, (*bits, tool.Field("n", "short")))
    (group,) = tool.layout(method.fields)
    assert [len(fields) for _, fields in group.members] == [8, 1, 1]
    assert group.letters == "BBH"
    assert "bits_0, bits_1, n = _BBH.unpack_from(data, offset)" in tool.method_class(method)


def test_generated_code_is_formatted() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", str(COMMITTED)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stdout + result.stderr
