"""A member that nothing is known of yet."""

from __future__ import annotations

from rabbitry.cluster.members import Member


def test_a_new_member_is_not_there() -> None:
    member = Member("1")
    assert (member.incarnation, member.state, member.link) == ("1", "down", None)
    assert not member.welcomed
