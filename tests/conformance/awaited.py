"""Conversations in which we do not answer as RabbitMQ does: by reason, the names.

A difference that goes away fails its test: then its name goes from here. What is to stay is told in
docs/differences-from-rabbitmq.md.
"""

from __future__ import annotations

_LISTED: dict[str, str] = {
    "capabilities of features that are not all there yet": """
        what_the_server_says_of_itself
    """,
    "row: a login response that cannot be read": """
        amqplain_login_of_half amqplain_login_of_none amqplain_login_of_numbers
        plain_login_of_authorization plain_login_of_no_zeros plain_login_of_nothing
        plain_login_of_one_zero plain_login_of_three
    """,
    "row: a method that does not exist": """
        method_that_nobody_knows_class_ method_that_nobody_knows_method
    """,
    "row: limits out of range in tune-ok": """
        frame_size_agreed_on_large frame_size_agreed_on_none frame_size_agreed_on_small
        number_of_channels_agreed_on_more number_of_channels_agreed_on_none
    """,
    "row: protocol 0-8": """
        protocol_header_of_0_8 protocol_header_of_0_8_otherwise
    """,
    "row: queue type stream": """
        stream_declared_plain
    """,
}

AWAITED = {name: reason for reason, names in _LISTED.items() for name in names.split()}
