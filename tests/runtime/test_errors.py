"""Errors for users carry their exit code."""

from rabbitry.runtime.errors import EXIT_NOT_SO, EXIT_SOFTWARE, EXIT_USAGE, UserError


def test_exit_codes_are_told_apart() -> None:
    assert UserError("no such file").exit_code == EXIT_USAGE == 2
    assert UserError("not running", EXIT_NOT_SO).exit_code == 1
    assert str(UserError("no such file")) == "no such file"
    assert len({0, EXIT_NOT_SO, EXIT_USAGE, EXIT_SOFTWARE}) == 4
