"""Which certificate a client gets, and whose certificate is good, beside HAProxy 2.6."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from support.balancer_sides import Side
from support.beside_haproxy import play
from support.certificates import Certificates
from support.scripted_servers import Arrival, Behaviour, greets

CERTIFICATES = {
    "a.pem": ("default.test",),
    "b.pem": ("one.test", "*.wild.test"),
    "c.pem": ("two.test", "one.test", "x.wild.test"),
    "d.pem": ("*.wild.test", "last.test"),
}


class Folder(Certificates):
    """Certificates of several names, each with its key, as `crt` wants them."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.several = directory / "several"
        self.several.mkdir()
        for file, names in CERTIFICATES.items():
            self.issue(self.several / file, *names)
        (directory / "all.pem").write_text(Path(self.cert).read_text() + Path(self.key).read_text())

    def issue(self, path: Path, *names: str, ecdsa: bool = False) -> None:
        """Write a certificate for these names."""
        kind = trustme.KeyType.ECDSA if ecdsa else trustme.KeyType.RSA
        issued = self.authority.issue_cert(*names, common_name=path.name, key_type=kind)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("certificates"))


def shown(side: Side, folder: Folder, name: str | None, *ciphers: str) -> str:
    """The common name of the certificate that one who asks for `name` gets, or the alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(folder.ca)
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(":".join(ciphers))
    link = side.connect()
    try:
        link.sock = secure = context.wrap_socket(link.sock, server_hostname=name)
    except ssl.SSLError as error:
        return str(error.reason)
    link.line()
    certificate: Any = secure.getpeercert()
    link.close()
    subject = dict(each for part in certificate["subject"] for each in part)
    return str(subject["commonName"])


ASKED = (
    *("default.test", "one.test", "ONE.Test", "two.test", "x.wild.test", "y.wild.test"),
    *("a.y.wild.test", "wild.test", "last.test", "nobody.test", "b.pem", None),
)


def front(words: str, server: str = "") -> str:
    return f"""
listen front
    bind 127.0.0.1:{{front}} ssl {words}
    server s1 127.0.0.1:{{s1}} {server}
"""


def answers(folder: Folder, words: str, asked: tuple[str | None, ...] = ASKED) -> list[str]:
    """What those get who ask for these names, from both alike."""
    return play(front(words), lambda side: [shown(side, folder, name) for name in asked])


def test_certificates_of_a_directory_are_chosen_by_name(folder: Folder) -> None:
    for junk in ("a.pem.ocsp", "a.pem.issuer", ".hidden", "z.sctl"):
        (folder.several / junk).write_text("")
    for junk in ("a.pem.ocsp", "a.pem.issuer"):
        (folder.several / junk).unlink()  # HAProxy would read them
    assert answers(folder, f"crt {folder.several}") == [
        *("a.pem", "b.pem", "b.pem", "c.pem", "c.pem", "b.pem"),
        *("a.pem", "a.pem", "d.pem", "a.pem", "b.pem", "a.pem"),
    ]


def test_certificates_of_several_words(folder: Folder) -> None:
    words = f"crt {folder.several}/d.pem crt {folder.several}/b.pem crt {folder.several}/b.pem"
    asked = ("one.test", "y.wild.test", "last.test", "default.test", None)
    assert answers(folder, words, asked) == ["b.pem", "d.pem", "d.pem", "d.pem", "d.pem"]


def test_who_asks_for_nobody_known_is_refused(folder: Folder) -> None:
    asked = ("one.test", "nobody.test", None)
    refused = "TLSV1_UNRECOGNIZED_NAME"
    assert answers(folder, f"crt {folder.several} strict-sni", asked) == [
        *("b.pem", refused, refused)
    ]
    assert answers(folder, f"crt {folder.several}/b.pem strict-sni", asked) == [
        *("b.pem", refused, refused)
    ]


def test_the_refused_are_logged(folder: Folder) -> None:
    def script(side: Side) -> object:
        shown(side, folder, "nobody.test")
        side.log.wait(lambda _: bool(side.log.told_of_clients()), "the client")
        return side.log.told_of_clients()

    assert play(front(f"crt {folder.several}/b.pem strict-sni"), script) == [
        "127.0.0.1:N [N] front/1: SSL handshake failure"
    ]


def test_certificates_of_a_list(folder: Folder) -> None:
    listed = folder.directory / "list"
    listed.write_text(
        "# names of each\n\nseveral/a.pem\n"
        "several/b.pem other.test *.more.test !not.more.test\n"
        f"{folder.several}/c.pem *.more.test\nseveral/d.pem !*\n"
    )
    text = f"global\n    crt-base {folder.directory}\n" + front(f"crt-list {listed}")
    asked = ("other.test", "one.test", "x.more.test", "not.more.test", "last.test", "default.test")
    assert play(text, lambda side: [shown(side, folder, name) for name in asked]) == [
        *("b.pem", "a.pem", "b.pem", "c.pem", "a.pem", "a.pem")
    ]


def test_a_key_may_be_beside_its_certificate(folder: Folder) -> None:
    alone = folder.directory / "alone.pem"
    alone.write_text(Path(folder.cert).read_text())
    (folder.directory / "alone.pem.key").write_text(Path(folder.key).read_text())
    words = f"crt {folder.several}/a.pem crt {alone}"
    assert answers(folder, words, ("default.test", None)) == ["a.pem", "a.pem"]


def test_a_client_gets_the_kind_that_it_can_use(folder: Folder) -> None:
    folder.issue(folder.directory / "kinds.rsa", "kinds.test")
    folder.issue(folder.directory / "kinds.ecdsa", "kinds.test", ecdsa=True)

    def script(side: Side) -> object:
        return [
            shown(side, folder, "kinds.test", "ECDHE-RSA-AES128-GCM-SHA256"),
            shown(side, folder, "kinds.test", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            shown(side, folder, "kinds.test", "ECDHE+AESGCM"),
            shown(side, folder, "kinds.test"),
        ]

    words = f"crt {folder.several}/a.pem crt {folder.directory}/kinds"
    assert play(front(words), script) == [
        *("kinds.rsa", "kinds.ecdsa", "kinds.ecdsa", "kinds.ecdsa")
    ]


def test_several_threads_choose_alike(folder: Folder) -> None:
    text = "global\n    nbthread 2\n" + front(f"crt {folder.several} strict-sni")
    asked = ("one.test", "two.test", "nobody.test") * 3

    def script(side: Side) -> object:
        return [shown(side, folder, name) for name in asked]

    assert play(text, script) == ["b.pem", "c.pem", "TLSV1_UNRECOGNIZED_NAME"] * 3


# --- who is good ----------------------------------------------------------------------------------


def revoked(folder: Folder, *serials: int) -> Path:
    """A list of revoked certificates, by the authority of `folder`."""
    key = serialization.load_pem_private_key(folder.authority.private_key_pem.bytes(), None)
    authority = x509.load_pem_x509_certificate(folder.authority.cert_pem.bytes())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder(
        authority.subject, now, now + datetime.timedelta(days=1)
    )
    for serial in serials:
        one = x509.RevokedCertificateBuilder(serial, now).build()
        builder = builder.add_revoked_certificate(one)
    path = folder.directory / f"revoked{len(serials)}.pem"
    signed = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return path


def of_client(folder: Folder, name: str) -> tuple[ssl.SSLContext, int]:
    """A client with a certificate, and its serial number."""
    issued = folder.authority.issue_cert(f"{name}.test", common_name=name)
    context = ssl.create_default_context(cafile=folder.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # so that it hears of it in its handshake
    issued.configure_cert(context)
    found = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    return context, found.serial_number


def taken(side: Side, context: ssl.SSLContext) -> str:
    """What becomes of a client."""
    try:
        link = side.connect(tls=context)
    except ssl.SSLError as error:
        return str(error.reason)
    name = link.line()
    link.close()
    return name


@pytest.mark.parametrize(
    ("verify", "truth"),
    [
        ("required", ["s1", "SSLV3_ALERT_CERTIFICATE_REVOKED", "SSLV3_ALERT_HANDSHAKE_FAILURE"]),
        ("optional", ["s1", "SSLV3_ALERT_CERTIFICATE_REVOKED", "s1"]),
    ],
)
def test_a_revoked_client_is_refused(folder: Folder, verify: str, truth: list[str]) -> None:
    good, _ = of_client(folder, "good")
    bad, serial = of_client(folder, "bad")
    nobody = folder.client()
    nobody.maximum_version = ssl.TLSVersion.TLSv1_2
    words = f"verify {verify} ca-file {folder.ca} crl-file {revoked(folder, serial)}"

    def script(side: Side) -> object:
        return [taken(side, each) for each in (good, bad, nobody)]

    assert play(front(f"crt {folder.directory}/all.pem {words}"), script) == truth


def test_authorities_of_a_directory_and_of_a_second_file(folder: Folder) -> None:
    others = trustme.CA()
    directory = folder.directory / "authorities"
    directory.mkdir()
    others.cert_pem.write_to_path(str(directory / "other.pem"))
    (directory / "notes.txt").write_text("no authority")
    foreign = folder.client("foreign", others)
    foreign.maximum_version = ssl.TLSVersion.TLSv1_2
    own, _ = of_client(folder, "own")

    def script(side: Side) -> object:
        return [taken(side, each) for each in (own, foreign)]

    def asked(words: str) -> object:
        return play(front(f"crt {folder.directory}/all.pem verify required {words}"), script)

    unknown = "TLSV1_ALERT_UNKNOWN_CA"
    assert asked(f"ca-file {folder.ca}") == ["s1", unknown]
    assert asked(f"ca-file {directory}") == [unknown, "s1"]
    assert asked(f"ca-file {folder.ca} ca-verify-file {directory}/other.pem") == ["s1", "s1"]


# --- towards servers ------------------------------------------------------------------------------


class Seen:
    """A server with TLS that notes what its clients agree to."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.agreed: list[tuple[str | None, str | None, str | None]] = []

    def __call__(self, arrival: Arrival) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder.several / "b.pem")
        context.set_alpn_protocols(["amqp"])
        asked: list[str | None] = []
        context.sni_callback = lambda sock, name, of: asked.append(name)
        try:
            arrival.sock = tls = context.wrap_socket(arrival.sock, server_side=True)
        except OSError:
            return
        self.agreed.append((tls.version(), tls.selected_alpn_protocol(), asked[0]))
        greets(arrival)


@pytest.mark.parametrize(
    ("words", "name", "agreed"),
    [
        ("verify none", "s1", ("TLSv1.3", None, None)),
        ("verify none ssl-max-ver TLSv1.2", "s1", ("TLSv1.2", None, None)),
        ("verify none alpn x,amqp", "s1", ("TLSv1.3", "amqp", None)),
        ("verify none sni str(some.test)", "s1", ("TLSv1.3", None, "some.test")),
        ("verify none force-tlsv12 ciphers ECDHE+AESGCM", "s1", ("TLSv1.2", None, None)),
        ("verify none force-tlsv12 ciphers DHE-RSA-AES128-SHA256", "", None),
        ("ca-file {ca} sni str(one.test)", "s1", ("TLSv1.3", None, "one.test")),
        ("ca-file {ca} verifyhost one.test", "s1", ("TLSv1.3", None, None)),
        ("ca-file {ca} verifyhost x.wild.test", "s1", ("TLSv1.3", None, None)),
        ("ca-file {ca} verifyhost b.pem", "s1", ("TLSv1.3", None, None)),
        ("ca-file {ca} verifyhost a.x.wild.test", "", None),
        ("ca-file {ca} verifyhost two.test", "", None),
        ("ca-file {ca} sni str(two.test) verifyhost one.test", "", None),
        ("ca-file {ca} sni str(one.test) verifyhost two.test", "s1", ("TLSv1.3", None, "one.test")),
        ("ca-file {ca} crl-file {crl}", "s1", ("TLSv1.3", None, None)),
        ("ca-file {ca} crl-file {bad}", "", None),
    ],
)
def test_words_towards_a_server(
    folder: Folder, words: str, name: str, agreed: tuple[str | None, str | None, str | None] | None
) -> None:
    found = x509.load_pem_x509_certificate((folder.several / "b.pem").read_bytes())
    words = words.format(
        ca=folder.ca, crl=revoked(folder), bad=revoked(folder, found.serial_number)
    )

    def script(side: Side) -> object:
        link = side.connect()
        said = link.line()
        link.close()
        return said, side.told(1)[0].split()[3:5]

    seen = Seen(folder)
    text = "listen front\n    bind 127.0.0.1:{front}\n    retries 0\n"
    text += "    server s1 127.0.0.1:{s1} ssl " + words + "\n"
    behaviours: dict[str, Behaviour | str | None] = {"s1": seen}
    assert play(text, script, behaviours) == (name, ["3", "--"] if name else ["0", "SC"])
    if agreed is not None:
        assert seen.agreed == [agreed] * 2
