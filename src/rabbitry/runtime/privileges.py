"""`user`, `group` and `pidfile` of a balancer's `global` section (configuration.txt 3.1).

Owns giving up the rights of root once the ports are taken, and the file that names the process.

Invariants: a balancer that was told to be somebody else never serves as root: it ends instead.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path


class PrivilegesFailed(ValueError):
    """It cannot become whom the configuration names; the text says whom, and why."""


def become(user: str | None, group: str | None) -> None:
    """Become this user and group (names or numbers; None: whoever we are), for good.

    Nothing happens where that is who we are already. Raises `PrivilegesFailed`.
    """
    try:
        gid = _group_id(group)
        uid = _user_id(user)
        if gid is not None and gid != os.getegid():
            # Else the groups of root would stay; without rights they cannot be changed at all.
            os.setgroups([])
            os.setgid(gid)
        if uid is not None and uid != os.geteuid():
            os.setuid(uid)
    except KeyError as error:
        raise PrivilegesFailed(
            f"cannot become user {user} and group {group}: {error.args[0]}; "
            "name some that exist in 'global'"
        ) from None
    except OSError as error:
        raise PrivilegesFailed(
            f"cannot become user {user} and group {group}: {error.strerror}; "
            "start it as root, or take the words out of 'global'"
        ) from None


def _user_id(user: str | None) -> int | None:
    if user is None:
        return None
    return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid


def _group_id(group: str | None) -> int | None:
    if group is None:
        return None
    return int(group) if group.isdigit() else grp.getgrnam(group).gr_gid


@contextlib.contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """Have a file with our PID while this lasts. Raises `OSError` if it cannot be written."""
    if path is None:
        yield
        return
    file = Path(path)
    file.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        # Another process may have put its own there; and we may be root no more.
        with contextlib.suppress(OSError, ValueError):
            if int(file.read_text()) == os.getpid():
                file.unlink()
