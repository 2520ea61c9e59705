"""The files of certificates that `bind` lines name: `crt` and `crt-list` of HAProxy.

Owns which files those are. `crt` names a PEM file that has a certificate and its key, or a
certificate whose key is beside it as `.key`; a directory stands for all such files in it, by name;
a name with `.dsa`, `.ecdsa` or `.rsa` behind it stands for up to three (configuration.txt 5.1
"crt", "crt-list"; src/ssl_sock.c `ssl_sock_load_cert`, src/ssl_crtlist.c). What they hold is
looked at by `tls`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from rabbitry.balancer.configuration.model import BindTls, CertificateList
from rabbitry.balancer.configuration.tls_words import place_file
from rabbitry.runtime.server_names import NamedCertificate
from rabbitry.runtime.tls import TlsFailed

# HAProxy reads these along with the certificate.
_NOT_CERTIFICATES = (".key", ".issuer", ".ocsp", ".sctl")
_BUNDLE = (".dsa", ".ecdsa", ".rsa")
_FILE_BYTES_MAX = 1 << 20


def certificates_of(tls: BindTls) -> list[NamedCertificate]:
    """Return the certificates of a `bind` line, the default first. Raises `TlsFailed`."""
    found: list[NamedCertificate] = []
    for each in tls.certificates:
        found += _listed(each) if isinstance(each, CertificateList) else _named(each)
    return found


def _named(path: str) -> list[NamedCertificate]:
    """What one `crt` stands for."""
    if os.path.isdir(path):
        paths = [file for file in _inside(path) if stat.S_ISREG(_status(file).st_mode)]
        if not paths:
            raise TlsFailed(f"cannot use certificates in {path}: there are none")
    elif not os.path.exists(path):
        paths = [path + each for each in _BUNDLE if os.path.exists(path + each)] or [path]
    else:
        paths = [path]
    return [_with_key(each) for each in paths]


def _inside(folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise TlsFailed(f"cannot look into {folder}: {_why(error)}") from None
    for name in names:
        if not (name.startswith(".") or name.endswith(_NOT_CERTIFICATES)):
            yield os.path.join(folder, name)


def _with_key(path: str, filters: tuple[str, ...] = ()) -> NamedCertificate:
    key = path
    if b"PRIVATE KEY-----" not in _content(path):
        key = path + ".key"
        if not os.path.exists(key):
            raise TlsFailed(f"certificate {path} has no key: add it there, or beside it as {key}")
    return NamedCertificate(cert=path, key=key, filters=filters)


def _listed(entry: CertificateList) -> list[NamedCertificate]:
    """What a `crt-list` has: a line for each certificate, with names behind it."""
    found: list[NamedCertificate] = []
    lines = _content(entry.path, "crt-list").decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{entry.path}:{number}"
        if "[" in line:
            what = "settings of one certificate are not carried out"
            text = f"{where}: '[' {what}: write them on a 'bind' line of its own"
            raise TlsFailed(text, "crt-list")
        try:
            each = _named(place_file(words[0], entry.folder))
        except TlsFailed as failure:
            raise TlsFailed(f"{where}: {failure}", "crt-list") from None
        filters = tuple(words[1:])
        found += [NamedCertificate(cert=it.cert, key=it.key, filters=filters) for it in each]
    if not found:
        raise TlsFailed(f"cannot use certificates of {entry.path}: there are none", "crt-list")
    return found


def _content(path: str, word: str = "crt") -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise TlsFailed(f"cannot use {_KINDS[word]} {path}: {_why(error)}", word) from None


_KINDS = {"crt": "certificate", "crt-list": "list"}


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise TlsFailed(f"cannot use certificate {path}: {_why(error)}") from None


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
