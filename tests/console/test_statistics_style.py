"""Tests of the style sheet and the script."""

from __future__ import annotations

import base64
import hashlib

from rabbitry.console.statistics_style import ADMIN_POLICY, POLICY, SCRIPT, STYLE


def test_the_policy_lets_this_script_run_and_no_other() -> None:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in POLICY
    assert "default-src 'none'" in POLICY


def test_only_a_page_that_can_act_keeps_out_of_frames() -> None:
    assert "frame-ancestors" not in POLICY
    assert f"{POLICY}; frame-ancestors 'self'" == ADMIN_POLICY


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert "url(" not in STYLE
    assert "http" not in STYLE + SCRIPT
    assert "prefers-color-scheme: dark" in STYLE


def test_every_state_has_a_colour() -> None:
    for state in ("up", "down", "going_up", "going_down", "nolb", "draining", "no_check"):
        for kind in ("active", "backup"):
            assert f".{kind}_{state}" in STYLE
