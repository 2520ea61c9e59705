"""Which method may come when on channel 0: the life of a connection, as tables.

The two rules of this file: everything that says which connection method is legal in which state
lives here, and nothing here knows what the methods mean. A state is a word, a table maps

    role -> state -> name of the method received -> next state

and a method that the table does not list is a fault of the peer. What we send ourselves moves the
state by `SENT` in the same way; sending what that table does not list is a fault of ours.

How a connection goes, server side (RabbitMQ: rabbit_reader.erl, connection_state):

    header     nothing came yet; eight bytes of protocol header open the talk
    starting   we sent connection.start
    securing   start-ok came; the login is judged, perhaps over secure and secure-ok
    tuning     the login is good; we sent connection.tune
    opening    tune-ok came; both sides know frame size, channels and heartbeat
    open       open-ok is out; channels live
    closing    we sent connection.close and read on only for its close-ok
    closed     nothing more is read or sent

The client side uses the same words for the mirror image. `closing` is the one state in which both
sides may speak at cross purposes: both may have sent close at once, so a close is answered with
close-ok there too (specification 2.2.4), and everything else is dropped in silence, but for
acknowledgements where the owner still takes them (`Endpoint.close`).
"""

from __future__ import annotations

from typing import Final, Literal

Role = Literal["server", "client"]
State = Literal["header", "starting", "securing", "tuning", "opening", "open", "closing", "closed"]

RECEIVED: Final[dict[Role, dict[State, dict[str, State]]]] = {
    "server": {
        "header": {},
        "starting": {"connection.start-ok": "securing"},
        "securing": {"connection.secure-ok": "securing"},
        "tuning": {"connection.tune-ok": "opening"},
        "opening": {"connection.open": "opening"},
        "open": {"connection.close": "closed", "connection.update-secret": "open"},
        "closing": {"connection.close": "closing", "connection.close-ok": "closed"},
        "closed": {},
    },
    "client": {
        "header": {"connection.start": "starting"},
        "starting": {
            "connection.secure": "starting",
            "connection.tune": "tuning",
            "connection.close": "closed",
        },
        "securing": {},
        "tuning": {},
        "opening": {"connection.open-ok": "open", "connection.close": "closed"},
        "open": {
            "connection.close": "closed",
            "connection.blocked": "open",
            "connection.unblocked": "open",
            "connection.update-secret-ok": "open",
        },
        "closing": {"connection.close": "closing", "connection.close-ok": "closed"},
        "closed": {},
    },
}

SENT: Final[dict[Role, dict[State, dict[str, State]]]] = {
    "server": {
        "header": {"connection.start": "starting"},
        "starting": {"connection.close": "closing"},
        "securing": {
            "connection.secure": "securing",
            "connection.tune": "tuning",
            "connection.close": "closing",
        },
        "tuning": {"connection.close": "closing"},
        "opening": {"connection.open-ok": "open", "connection.close": "closing"},
        "open": {
            "connection.close": "closing",
            "connection.blocked": "open",
            "connection.unblocked": "open",
            "connection.update-secret-ok": "open",
        },
        "closing": {"connection.close-ok": "closing"},
        "closed": {"connection.close-ok": "closed"},
    },
    "client": {
        "header": {},
        "starting": {"connection.start-ok": "starting", "connection.secure-ok": "starting"},
        "securing": {},
        "tuning": {"connection.tune-ok": "opening"},
        "opening": {"connection.open": "opening", "connection.close": "closing"},
        "open": {"connection.close": "closing", "connection.update-secret": "open"},
        "closing": {"connection.close-ok": "closing"},
        "closed": {"connection.close-ok": "closed"},
    },
}
