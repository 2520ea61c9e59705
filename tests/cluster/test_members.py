"""A member that nothing is known of yet."""

from __future__ import annotations

from rabbitry.cluster.members import Member


def test_a_new_member_is_not_there() -> None:
    member = Member("1")
    assert (member.incarnation, member.state, member.link) == ("1", "down", None)
    assert not member.welcomed
    assert member.alarms == ()


def test_what_it_is_low_on_is_news_once() -> None:
    member = Member("1")
    assert not member.low_on(())
    assert member.low_on(("disk",))
    assert not member.low_on(("disk",))
    assert member.low_on(())


def test_of_one_that_has_left_nobody_knows_what_it_lacks() -> None:
    member = Member("1")
    member.low_on(("disk",))
    member.left(dead=False)
    assert (member.state, member.alarms, member.incarnation) == ("hung", (), "1")
    member.left(dead=True)
    assert (member.state, member.incarnation) == ("down", "")
