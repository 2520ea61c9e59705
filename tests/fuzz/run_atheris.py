"""Coverage-guided fuzzing of all that a peer can send: `make fuzz SECONDS=60`.

Starts from tests/fuzz/corpus and goes on from what earlier runs found (build/fuzz/corpus). What
breaks something is written to build/fuzz and said; put it, made small, into tests/fuzz/corpus,
where `make test` plays it for ever. A process, since libFuzzer ends the one that it runs in.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    print("atheris is not installed: it is for Linux on x86-64, Python 3.11-3.13", file=sys.stderr)
    sys.exit(2)

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

STEP_SECONDS_MAX = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long (default: 60)")
    parser.add_argument("--runs", type=int, default=-1, help="so many scripts, the same each time")
    parser.add_argument("--found", type=Path, default=ROOT / "build" / "fuzz")
    options = parser.parse_args()
    # Not before: to instrument all of it takes seconds.
    with atheris.instrument_imports(include=["rabbitry"]):
        from support.fuzz_scripts import SCRIPT_BYTES_MAX, play
    kept = options.found / "corpus"
    kept.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_len={SCRIPT_BYTES_MAX}",
        f"-timeout={STEP_SECONDS_MAX}",
        f"-artifact_prefix={options.found}/",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        "-use_value_profile=1",
        *([f"-runs={options.runs}", "-seed=1"] if options.runs >= 0 else []),
        *([f"-max_total_time={options.seconds}"] if options.runs < 0 else []),
        str(kept),
        str(ROOT / "tests" / "fuzz" / "corpus"),
    ]
    atheris.Setup(arguments, lambda script: void(play(script)))
    atheris.Fuzz()


def void(_: object) -> None:
    """libFuzzer wants nothing returned."""


if __name__ == "__main__":
    main()
