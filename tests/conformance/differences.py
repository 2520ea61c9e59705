"""Where we answer otherwise than RabbitMQ 3.10 and mean to: the first table of the document.

docs/differences-from-rabbitmq.md has a row for each of `DIFFERENCES`, in this order, and no other.
`ours` is a pattern for something that we say and RabbitMQ does not. A difference that goes away
fails its test: then its row goes.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """The row's first cell, what we say, and the names of the conversations it shows in."""

    row: str
    ours: str
    conversations: str


DIFFERENCES = [
    Difference(
        "queue type `stream`",
        r"connection\.close reply_code=541",
        "stream_declared_plain",
    ),
    Difference(
        "a method that does not exist",
        r"connection\.close reply_code=503",
        "method_that_nobody_knows_class_ method_that_nobody_knows_method",
    ),
    Difference(
        "a table that cannot be read",
        r"connection\.close reply_code=501",
        "table_that_cannot_be_read",
    ),
    Difference(
        "limits out of range in `tune-ok`",
        r"connection\.close reply_code=530 .*negotiated",
        """
        frame_size_agreed_on_large
        frame_size_agreed_on_none
        frame_size_agreed_on_small
        number_of_channels_agreed_on_more
        number_of_channels_agreed_on_none
        """,
    ),
    Difference(
        "an unknown login mechanism",
        r"connection\.close reply_code=503",
        "login_by_an_unknown_mechanism",
    ),
    Difference(
        "a login response that cannot be read",
        r"connection\.close reply_code=502",
        """
        amqplain_login_of_half
        amqplain_login_of_none
        amqplain_login_of_numbers
        plain_login_of_authorization
        plain_login_of_no_zeros
        plain_login_of_nothing
        plain_login_of_one_zero
        plain_login_of_three
        """,
    ),
    Difference(
        "`connection.close` before `connection.open-ok`",
        r"connection\.close reply_code=504",
        "closed_before_it_is_open",
    ),
    Difference(
        "protocol headers of 0-8",
        r"AMQP\\x00\\x00\\t\\x01",
        "protocol_header_of_0_8 protocol_header_of_0_8_otherwise",
    ),
    Difference(
        "a body longer than its header says",
        r"connection\.close reply_code=505",
        "body_longer_than_its_header_says",
    ),
    Difference(
        "a message with tables nested more than 64 deep",
        r"connection\.close reply_code=541",
        "tables_nested_very_deep",
    ),
    Difference(
        "a message whose property flags announce further ones that are not there",
        r"connection\.close reply_code=541",
        "further_property_flags_announced",
    ),
]

DIFFERENCE_IN = {
    name: difference for difference in DIFFERENCES for name in difference.conversations.split()
}
