"""Tests of the clients' own suites that fail against RabbitMQ 3.10.8 as well, each with the reason.

The one list of failures that are accepted, and every entry was seen with
`pytest tests/clients --against rabbitmq --whole-suites`, which also fails where an entry that says
`ALWAYS` has come to pass. A key is the beginning of a test's name.
"""

from __future__ import annotations

ALWAYS = "always: "
SOMETIMES = "sometimes: "

FAILURES: dict[str, dict[str, str]] = {
    "aiormq": {
        f"tests/test_connection.py::test_closing_waiter_cancellation[{transport}-{how}"
        "-connection-True]": ALWAYS
        + "the client itself: its `closing` does not raise the error that close() was given"
        for transport in ("amqp", "amqp-named")
        for how in ("cancel", "timeout")
    }
    | {
        "tests/test_connection_futures.py::test_connection_close_during_publish_drain": SOMETIMES
        + "the client itself: its close ends a publish that waits with a bare Exception"
    },
    "aio_pika": {
        "tests/test_memory_leak.py::test_leak_unclosed_channel": SOMETIMES
        + "the client itself: its channels are not yet collected when they are counted",
        "tests/test_reconnect_channel_snapshot.py::test_create_channels_during_reconnect": ALWAYS
        + "the client itself: closed with CancelledError, its connection does not come back",
    },
    "kombu": {},
    "amqp": {
        f"t/integration/test_rmq.py::{test}": SOMETIMES
        + "asks tls-v1-2.badssl.com, which is not to be reached where only a package index is"
        for test in ("test_tls_default_certs", "test_tls_no_default_certs_fails")
    },
}
