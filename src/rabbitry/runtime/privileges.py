"""`user`, `group` and `pidfile` of a balancer's `global` section (configuration.txt 3.1).

Owns giving up the rights of root once the ports are taken, and the file that names the process.

Invariants: a balancer that was told to be somebody else never serves as root, in none of its
processes: it ends instead. (docs/decisions/0148)
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class PrivilegesFailed(ValueError):
    """It cannot become whom the configuration names; the text says whom, and why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to become: numbers, None for whoever we are; `name` is for people."""

    uid: int | None
    gid: int | None
    name: str

    @property
    def is_another(self) -> bool:
        """Whether that is not whom we are."""
        return self.gid not in (None, os.getegid()) or self.uid not in (None, os.geteuid())

    def become(self) -> None:
        """Become them, for good. Raises `PrivilegesFailed`."""
        try:
            if self.gid is not None and self.gid != os.getegid():
                # Else the groups of root would stay; without rights they cannot be changed at all.
                os.setgroups([])
                os.setgid(self.gid)
            if self.uid is not None and self.uid != os.geteuid():
                os.setuid(self.uid)
        except OSError as error:
            raise self._refused(error) from None

    @contextlib.contextmanager
    def tried(self) -> Iterator[None]:
        """Be them while this lasts, as far as rights go. Raises `PrivilegesFailed`."""
        uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
        try:
            if self.gid is not None and self.gid != gid:
                os.setgroups([])
                os.setegid(self.gid)
            if self.uid is not None and self.uid != uid:
                os.seteuid(self.uid)
        except OSError as error:
            raise self._refused(error) from None
        else:
            yield
        finally:
            os.seteuid(uid)
            if os.getegid() != gid:
                os.setegid(gid)
            if os.getgroups() != groups:
                os.setgroups(groups)

    def _refused(self, error: OSError) -> PrivilegesFailed:
        return PrivilegesFailed(
            f"cannot become {self.name}: {error.strerror}; "
            "start it as root, or take the words out of 'global'"
        )


def identity_of(user: str | None, group: str | None) -> Identity:
    """Return who these are (names or numbers; None: whoever we are). Raises `PrivilegesFailed`."""
    words = {"user": user, "group": group}
    for word, name in words.items():
        if is_unknown(word, name):
            raise PrivilegesFailed(
                f"cannot become {word} {name}: there is no such {word}; "
                f"name one that exists as '{word}' in 'global'"
            )
    name = " and ".join(f"{word} {name}" for word, name in words.items() if name is not None)
    return Identity(_user_id(user), _group_id(group), name)


def is_unknown(word: str, name: str | None) -> bool:
    """Whether this system has no `user` or `group` (`word`) of this name. A number is never."""
    try:
        (_user_id if word == "user" else _group_id)(name)
    except KeyError:
        return True
    return False


def forbidden_file() -> str | None:
    """Return a file of this program that we may not use: then we cannot start it anew."""
    if not _may(sys.executable, os.X_OK):
        return sys.executable
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not _may(file, os.R_OK):
            return file
    return None


def _may(file: str, mode: int) -> bool:
    try:
        os.stat(file)
    except PermissionError:
        return False
    except OSError:  # in an archive, or replaced meanwhile
        return True
    return os.access(file, mode, effective_ids=True)


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
