"""The system's entropy gives what was asked for, and never the same twice."""

from rabbitry.machine import Entropy
from rabbitry.runtime.entropy import SystemEntropy


def test_bytes_of_the_length_asked_for_and_not_twice_the_same() -> None:
    entropy: Entropy = SystemEntropy()
    assert [len(entropy.token_bytes(count)) for count in (0, 1, 16, 1000)] == [0, 1, 16, 1000]
    assert len({entropy.token_bytes(16) for _ in range(100)}) == 100
