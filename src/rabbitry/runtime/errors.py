"""What goes wrong for reasons that a user can see to, as one line and an exit code.

Owns the exit codes of the command line. Everything else that is raised is a bug of ours and ends
with `EXIT_SOFTWARE`.
"""

from __future__ import annotations

EXIT_NOT_SO = 1
"""What was asked for cannot be done as things are: nothing runs, or the node runs already."""

EXIT_USAGE = 2
"""What was asked for is wrong or not to be had: bad option or file, port in use, no permission."""

EXIT_INTERRUPTED = 130
"""Ctrl-C: as a shell tells it, 128 and the number of SIGINT."""

EXIT_SOFTWARE = 70
"""A bug of ours: EX_SOFTWARE of sysexits(3)."""


class UserError(Exception):
    """One line that says what, where and what to do; `exit_code` ends the command."""

    def __init__(self, line: str, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(line)
        self.exit_code = exit_code
