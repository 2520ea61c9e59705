"""The package itself: its version, told once and the same everywhere."""

from __future__ import annotations

import tomllib
from pathlib import Path

import rabbitry


def test_the_version_is_that_of_the_project() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    assert tomllib.loads(text)["project"]["version"] == rabbitry.__version__
