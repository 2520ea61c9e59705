"""HAProxy's balancing algorithms, server for server as HAProxy 2.6 chooses them.

`pool` says who takes part, `named` finds the algorithm of a `balance` line. Each algorithm keeps
what it has to remember of a server itself.
"""
