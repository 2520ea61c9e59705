"""The only package that touches the operating system: sockets, the store, processes, signals.

It runs the machines of the pure packages in the real world and decides as little as it can; what it
does have to decide (when to restart a process) stands in a pure module beside it.
"""
