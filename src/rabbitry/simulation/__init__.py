"""The second driver of the machines: one process, virtual time, one seed, and faults on purpose.

Decides nothing that a user ever meets; it runs the same machines as `rabbitry.runtime`.
"""
