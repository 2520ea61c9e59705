"""Sets of positions, against Python's sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.positions import ranges_of

SPANS = st.tuples(st.integers(0, 40), st.integers(-2, 12)).map(lambda one: (one[0], sum(one)))


@given(
    st.lists(st.integers(0, 40), unique=True).map(sorted),
    st.lists(st.tuples(st.booleans(), SPANS)),
)
def test_it_does_as_a_set(begin: list[int], changes: list[tuple[bool, tuple[int, int]]]) -> None:
    expected = set(begin)
    positions = PositionSet(ranges_of(begin))
    for adds, (first, last) in changes:
        if adds:
            positions.add(first, last)
            expected.update(range(first, last + 1))
        else:
            positions.remove([(first, last)])
            expected.difference_update(range(first, last + 1))
        assert positions.ranges() == ranges_of(sorted(expected))
        assert positions.count == len(expected)
        assert [at in positions for at in range(60)] == [at in expected for at in range(60)]


def test_neighbours_at_the_beginning_are_one() -> None:
    assert PositionSet([(1, 3), (4, 6)]).ranges() == [(1, 6)]
