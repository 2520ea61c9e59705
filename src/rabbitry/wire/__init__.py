"""AMQP 0-9-1 bytes <-> values: `values`, `methods` (generated), `frames`, `content`, `errors`.

Owns the encoding and nothing of what it means. Pure, without state that outlives a call; a peer's
malformed bytes raise `MalformedValue` or `UnknownMethod`, never anything else.
"""
