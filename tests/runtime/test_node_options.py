"""Options of a node are settings of its machine, and survive the way through JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.certificates import Certificates

from rabbitry.machine import Address
from rabbitry.node import NodeSettings
from rabbitry.runtime.errors import UserError
from rabbitry.runtime.node_options import NodeOptions
from rabbitry.runtime.tls import TlsSettings
from rabbitry.runtime.watermarks import Watermarks


def settings(options: NodeOptions) -> NodeSettings:
    return NodeSettings("a", "1", b"", Address("", 0), **options.settings())


def test_the_defaults_are_those_of_the_machine() -> None:
    assert settings(NodeOptions()) == NodeSettings("a", "1", b"", Address("", 0))


def test_they_reach_the_machine_through_json() -> None:
    options = NodeOptions(
        consumer_timeout_ms=7, max_message_size_bytes=8, queue_memory_limit="9MiB"
    )
    made = settings(msgspec.json.decode(msgspec.json.encode(options), type=NodeOptions))
    assert (made.consumer_timeout_ms, made.max_message_size_bytes) == (7, 8)
    assert made.queue_memory_bytes_max == 9 << 20


def test_what_is_out_of_bounds_is_refused() -> None:
    NodeOptions(consumer_timeout_ms=0).check()
    with pytest.raises(UserError, match="--consumer-timeout-ms"):
        NodeOptions(consumer_timeout_ms=-1).check()
    NodeOptions(max_message_size_bytes=536_870_912).check()
    for wrong in (-1, 536_870_913):
        with pytest.raises(UserError, match="--max-message-size-bytes"):
            NodeOptions(max_message_size_bytes=wrong).check()


def test_memory_for_messages_is_a_size() -> None:
    NodeOptions(queue_memory_limit="1GB").check()
    with pytest.raises(UserError, match=r"--queue-memory-limit: .*is no size"):
        NodeOptions(queue_memory_limit="0.4").check()
    NodeOptions(queue_memory_limit="1MiB").check()
    for wrong in ("0", "7", "1MB"):
        with pytest.raises(UserError, match=f"--queue-memory-limit {wrong} is less than 1MiB"):
            NodeOptions(queue_memory_limit=wrong).check()


def test_a_watermark_that_cannot_be_meant_is_refused_by_its_name() -> None:
    with pytest.raises(UserError, match=r"^--vm-memory-high-watermark: 7 is .* write 0\.7 for"):
        NodeOptions(vm_memory_high_watermark="7").check()
    with pytest.raises(UserError, match=r"^--disk-free-limit: 0\.5 is no size"):
        NodeOptions(disk_free_limit="0.5").check()
    NodeOptions(vm_memory_high_watermark="0", disk_free_limit="7").check()


def test_watermarks_are_as_rabbitmq_writes_them() -> None:
    assert NodeOptions().watermarks("/data") == Watermarks(0.4, 50_000_000, "/data")
    options = NodeOptions(vm_memory_high_watermark="2GiB", disk_free_limit="1GB")
    assert options.watermarks("") == Watermarks(2 << 30, 10**9, "")
    for bad in (NodeOptions(vm_memory_high_watermark="much"), NodeOptions(disk_free_limit="0.5")):
        with pytest.raises(UserError, match="is no size"):
            bad.check()


def test_tls_is_checked_before_anything_starts(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    NodeOptions(tls_cert=files.cert, tls_key=files.key, tls_ca=files.ca, tls_verify=True).check()
    for says, options in {
        "--tls-key is without --tls-cert": NodeOptions(tls_key=files.key),
        "--tls-verify needs --tls-ca": NodeOptions(tls_cert=files.cert, tls_verify=True),
        "no-peer-cert is without --tls-verify": NodeOptions(tls_fail_if_no_peer_cert=True),
        "login-from is without --tls-verify": NodeOptions(tls_login_from="common_name"),
        "cannot use certificate": NodeOptions(tls_cert=files.ca, tls_key=files.key),
    }.items():
        with pytest.raises(UserError, match=says):
            options.check()


def test_tls_is_there_where_there_is_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    assert NodeOptions(tls_ca="ca.pem").tls() is None
    line = msgspec.json.encode(
        NodeOptions(tls_cert="a.pem", tls_key="/k.pem", tls_ca="ca.pem", tls_verify=True)
    )
    # Absolute: it is for a process that may stand elsewhere.
    assert msgspec.json.decode(line, type=NodeOptions).tls() == TlsSettings(
        cert="/tmp/a.pem", key="/k.pem", ca="/tmp/ca.pem", verify=True
    )
