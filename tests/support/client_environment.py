"""The environment of the clients' own suites: a venv with them, and their unpacked archives.

Owns `.cache/clients` in the project (ignored by git): one directory for each state of the two lists
in tests/clients, made once. Nothing of it is ours and nothing of it is committed. Where the package
index cannot be reached, `Unavailable` says so, and the tests that need it are skipped with that.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LISTS = ROOT / "tests" / "clients"
CACHE = ROOT / ".cache" / "clients"
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
INSTALL_TIMEOUT_S = 300.0


class Unavailable(Exception):
    """The environment cannot be made here; one line why."""


@dataclasses.dataclass(frozen=True)
class Environment:
    """Where the clients' Python and their unpacked archives are."""

    python: Path
    archives: Path

    @property
    def certificates(self) -> Path:
        """A directory with ca.pem, server.pem and server.key for 127.0.0.1, and client's ones."""
        return self.archive("aiormq") / "tests" / "certs"

    def archive(self, name: str) -> Path:
        """The unpacked source distribution of `name`, as its package is spelt in file names."""
        (found,) = self.archives.glob(f"{name}-*/")
        return found


def digest() -> str:
    """What the lists and this Python come to; another one is another environment."""
    texts = [(LISTS / name).read_bytes() for name in ("environment.txt", "archives.txt")]
    seal = hashlib.sha256(b"\0".join([*texts, sys.version.encode(), str(ROOT).encode()]))
    return seal.hexdigest()[:16]


def make() -> Environment:
    """The environment, made now if it is not there. Raises Unavailable."""
    CACHE.mkdir(parents=True, exist_ok=True)
    # Another run, or another worker of this one, may be about to make the same.
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _make(CACHE / digest())


def _make(place: Path) -> Environment:
    environment = Environment(place / "venv" / "bin" / "python", place / "archives")
    if (place / "complete").exists():
        return environment
    shutil.rmtree(place, ignore_errors=True)  # half of one: its making was interrupted
    place.mkdir(parents=True)
    _run([sys.executable, "-m", "venv", str(place / "venv")])
    install = ["install", "--no-deps", "-r", str(LISTS / "environment.txt")]
    _run([str(environment.python), *PIP, *install])
    _download(environment, place / "downloads")
    (place / "complete").touch()
    return environment


def _download(environment: Environment, downloads: Path) -> None:
    """Fetch the archives, checked against their hashes, and unpack them."""
    names = [line.partition("==")[0] for line in archive_lines()]
    sources_only = ["--no-deps", "--require-hashes", "--no-binary", ",".join(names)]
    target = ["-d", str(downloads), "-r", str(LISTS / "archives.txt")]
    _run([str(environment.python), *PIP, "download", *sources_only, *target])
    for path in sorted(downloads.glob("*.tar.gz")):
        with tarfile.open(path) as archive:
            archive.extractall(environment.archives, filter="data")
    _complete_amqp(environment)


def _complete_amqp(environment: Environment) -> None:
    """amqp's archive leaves out its certificates: aiormq's serve, under the names it knows."""
    source = environment.certificates
    target = environment.archive("amqp") / "t" / "certs"
    target.mkdir(exist_ok=True)
    shutil.copy(source / "ca.pem", target / "ca_certificate.pem")
    for kind, name in (("client.pem", "client_certificate"), ("client.key", "client_key")):
        text = (source / kind).read_text()
        (target / f"{name}.pem").write_text(text)
        (target / f"{name}_broken.pem").write_text(text.replace("-----\n", "-----\nBroken", 1))


def archive_lines() -> list[str]:
    """The lines of archives.txt: name==version --hash=..."""
    lines = (LISTS / "archives.txt").read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took longer than {INSTALL_TIMEOUT_S:g} s") from None
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["no reason"]
        raise Unavailable(f"the clients' packages cannot be had: {lines[-1].strip()}")
