"""The entry point of `rabbitry` and `python -m rabbitry`: the command line, and Ctrl-C before it.

Owns what SIGINT does while nothing of ours runs: while the command line is imported, which takes
some tenths of a second, and while python exits. There it ends the process quietly; all between is
the business of `cli`. Imports little, for until then Ctrl-C is python's, with a traceback.
"""

from __future__ import annotations

import os
import signal

EXIT_INTERRUPTED = 130  # as in `runtime.errors`, which is not to be imported yet


def main() -> None:
    """Run the command line and exit."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        from rabbitry import cli  # whoever started us has it ignored

        cli.main()
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
    from rabbitry import cli

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.main()
    except KeyboardInterrupt:  # a moment before or after the command
        raise SystemExit(EXIT_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
