"""The leader of a queue: its races, each under the name its essay gives it, and its other duties.

Races are played on a cluster of three (`support.cluster_hostings`), where a leads, b and c mirror,
and nothing arrives before a test lets it; the rest on a leader alone, whose port records.
"""

from __future__ import annotations

import pytest
from support.cluster_hostings import HostingCluster
from support.cluster_leader import ROUTE, LeaderAlone

from rabbitry.broker.queue import Consumer
from rabbitry.cluster.announcing import WINDOW_MAX
from rabbitry.cluster.patience import MIRROR_PATIENCE_US
from rabbitry.cluster.queue_records import (
    Announced,
    Applied,
    Begin,
    Copied,
    Enqueued,
    Got,
    Lacked,
    Removed,
    Replied,
)
from rabbitry.cluster.records import AdmitMirror, DropMirror
from rabbitry.cluster.replica import first_position_of
from rabbitry.wire.errors import ACCESS_REFUSED, PRECONDITION_FAILED


@pytest.fixture
def cluster() -> HostingCluster:
    return HostingCluster(["a", "b", "c"])


def accepted(receipts: list) -> list[bool]:
    return [receipt.accepted for receipt in receipts]


def pass_all(cluster: HostingCluster, sender: str, receiver: str) -> None:
    while cluster.pass_record(sender, receiver):
        pass


def round_trip(cluster: HostingCluster, mirror: str) -> None:
    """What the leader has sent to a mirror arrives there, and the answers arrive here."""
    leader = cluster.placed.leader
    pass_all(cluster, leader, mirror)
    pass_all(cluster, mirror, leader)


# --- confirm needs all ---------------------------------------------------------------------------


def test_confirm_needs_all(cluster: HostingCluster) -> None:
    receipts = cluster.publish("a", b"1")
    round_trip(cluster, "b")
    assert accepted(receipts) == [False]
    round_trip(cluster, "c")
    assert accepted(receipts) == [True]


def test_confirm_needs_all_also_one_out_of_reach(cluster: HostingCluster) -> None:
    cluster.reset("a", "c")
    cluster.notice("a", "c")
    receipts = cluster.publish("a", b"1")
    cluster.settle_down(reconnect=False)
    assert accepted(receipts) == [False]
    hosting = cluster.leader.hosting
    hosting.tick(0)
    hosting.tick(MIRROR_PATIENCE_US - 1)
    cluster.settle_down(reconnect=False)
    assert accepted(receipts) == [False]
    hosting.tick(MIRROR_PATIENCE_US)
    cluster.settle_down(reconnect=False)
    assert cluster.placed.in_sync == ["a", "b"]
    assert accepted(receipts) == [True]
    cluster.settle_down()
    assert cluster.placed.in_sync == ["a", "b", "c"]


def joining(cluster: HostingCluster) -> None:
    """c is new; it has copied all, and the leader knows; the coordinator does not."""
    cluster.kill("c")
    cluster.settle_down()
    cluster.start("c")
    for name in ("a", "b", "c"):
        while cluster.pass_word(name):
            pass
    cluster.connect("a", "c")
    cluster.come_up("a", "c")
    cluster.come_up("c", "a")


def test_confirm_needs_all_that_are_about_to_be_admitted(cluster: HostingCluster) -> None:
    joining(cluster)
    while not cluster.leader.asks:
        round_trip(cluster, "c")
    receipts = cluster.publish("a", b"1")
    round_trip(cluster, "b")
    assert accepted(receipts) == [False], "c may be in the set already"
    cluster.hear_requests("a")
    assert "c" in cluster.placed.in_sync
    round_trip(cluster, "c")
    assert accepted(receipts) == [True]


def test_confirm_needs_all_and_none_joins_before_it_has_caught_up(
    cluster: HostingCluster,
) -> None:
    joining(cluster)
    pass_all(cluster, "a", "c")  # Begin
    pass_all(cluster, "c", "a")  # Lacked: nothing
    pass_all(cluster, "a", "c")  # Copied: nothing
    receipts = cluster.publish("a", b"1")
    round_trip(cluster, "b")
    assert accepted(receipts) == [True], "c is not required yet"
    pass_all(cluster, "c", "a")  # it has applied the copy, but not what was accepted without it
    assert not cluster.leader.asks
    round_trip(cluster, "c")
    assert [ask.request for ask in cluster.leader.asks] == [
        AdmitMirror(1, 1, "c", cluster.leader.revision)
    ]


def test_confirm_needs_all_and_an_old_answer_admits_nobody(cluster: HostingCluster) -> None:
    joining(cluster)
    while not cluster.leader.asks:
        round_trip(cluster, "c")
    (old,) = [ask.request for ask in cluster.leader.asks]
    cluster.kill("c")
    cluster.start("c")
    for name in ("a", "b", "c"):
        while cluster.pass_word(name):
            pass
    cluster.notice("a", "c")
    cluster.connect("a", "c")
    cluster.come_up("a", "c")
    cluster.come_up("c", "a")
    while len(cluster.leader.asks) < 2:
        round_trip(cluster, "c")
    leader = cluster.leader.leader
    assert leader is not None
    assert isinstance(old, AdmitMirror)
    leader.mirror_answered(old)
    receipts = cluster.publish("a", b"1")
    round_trip(cluster, "b")
    assert accepted(receipts) == [False]


def test_confirm_needs_all_though_copies_go_to_one(cluster: HostingCluster) -> None:
    joining(cluster)
    pass_all(cluster, "a", "c")
    pass_all(cluster, "c", "a")  # the number of the copy is the last one, and b never sees it
    replies = []
    cluster.leader.proxy.inquire("purge", replies.append)
    cluster.flush()
    assert [reply.messages for reply in replies] == [0]


# --- fenced leader -------------------------------------------------------------------------------


def test_fenced_leader(cluster: HostingCluster) -> None:
    cluster.fence("a", "b")
    while cluster.pass_word("b") or cluster.pass_word("c"):
        pass
    receipts = cluster.publish("a", b"1")
    reader = cluster.reader("a", 1)
    reader.subscribe()
    cluster.flush()
    cluster.settle_down(reconnect=False)
    assert cluster.nodes["a"].leader is not None
    assert accepted(receipts) == [False]
    assert reader.deliveries == []
    cluster.rejoin("a")
    cluster.settle_down()
    assert accepted(receipts) == [True]
    assert [one.body for one in reader.deliveries] == [b"1"]
    assert list(cluster.leader.held().values()) == [b"1"]


# --- seen before marked --------------------------------------------------------------------------


def test_seen_before_marked(cluster: HostingCluster) -> None:
    reader = cluster.reader("a", 1, prefetch_count=2)
    reader.subscribe()
    cluster.publish("a", *(b"%d" % at for at in range(200)))
    cluster.flush()
    assert reader.deliveries == [], "no mirror knows yet"
    cluster.settle_down()
    assert [one.body for one in reader.deliveries] == [b"0", b"1"]
    cluster.kill("a", "b")
    second = cluster.reader("b", 1)
    second.subscribe()
    cluster.settle_down()
    marks = [one.redelivered for one in second.deliveries]
    assert [one.body for one in second.deliveries] == [b"%d" % at for at in range(200)]
    assert marks[:2] == [True, True]
    assert marks == sorted(marks, reverse=True)
    assert sum(marks) == 2, "no message is marked in vain"


def test_seen_before_marked_and_what_only_the_leader_holds_stays(cluster: HostingCluster) -> None:
    reader = cluster.reader("a", 1)
    reader.subscribe()
    cluster.flush()
    cluster.settle_down()  # announced far ahead
    cluster.publish("a", b"1")
    round_trip(cluster, "b")
    assert reader.deliveries == []
    round_trip(cluster, "c")
    assert [one.body for one in reader.deliveries] == [b"1"]


def test_seen_before_marked_by_a_new_leader_too(cluster: HostingCluster) -> None:
    cluster.publish("a", b"1")
    cluster.settle_down()
    cluster.kill("a", "b")
    cluster.pass_word("b")
    reader = cluster.reader("b", 1)
    while cluster.pass_word("b"):
        pass
    reader.subscribe()
    cluster.flush()
    assert reader.deliveries == [], "c does not know where the new stream begins"
    cluster.settle_down()
    assert [(one.body, one.redelivered) for one in reader.deliveries] == [(b"1", False)]


# --- publish sent twice --------------------------------------------------------------------------


def test_publish_sent_twice(cluster: HostingCluster) -> None:
    receipts = cluster.publish("c", b"1", b"2")
    pass_all(cluster, "c", "a")
    pass_all(cluster, "a", "b")
    cluster.kill("a", "b")  # b has both, c has none and publishes both again
    cluster.settle_down()
    assert accepted(receipts) == [True, True]
    assert list(cluster.leader.held().values()) == [b"1", b"2"]


def test_publish_sent_twice_over_a_new_link(cluster: HostingCluster) -> None:
    receipts = cluster.publish("c", b"1", b"2")
    cluster.pass_record("c", "a")
    cluster.reset("a", "c")
    cluster.settle_down()
    assert accepted(receipts) == [True, True]
    assert list(cluster.leader.held().values()) == [b"1", b"2"]


def test_publish_sent_twice_to_one_that_was_copying(cluster: HostingCluster) -> None:
    """The numbers of a longer prefix would let the messages it lacks fall away."""
    receipts = cluster.publish("b", b"1", b"2")
    pass_all(cluster, "b", "a")
    cluster.reset("a", "c")  # c has neither
    cluster.notice("a", "c")
    cluster.notice("c", "a")
    cluster.connect("a", "c")
    cluster.come_up("a", "c")
    cluster.come_up("c", "a")
    assert cluster.pass_record("a", "c")  # Begin, with the number of b's publishes; no copy
    cluster.publish("b", b"3")
    pass_all(cluster, "b", "a")
    pass_all(cluster, "a", "c")
    cluster.kill("a", "c")
    cluster.settle_down()
    assert accepted(receipts) == [True, True]
    assert list(cluster.leader.held().values()) == [b"1", b"2", b"3"]


# --- mirror that lost the thread -----------------------------------------------------------------


def test_mirror_that_lost_the_thread(cluster: HostingCluster) -> None:
    reader = cluster.reader("a", 1, prefetch_count=1)
    reader.subscribe()
    cluster.publish("a", b"1", b"2", b"3")
    cluster.settle_down()
    cluster.reset("a", "c")
    cluster.notice("a", "c")
    reader.settle(1)
    cluster.publish("a", b"4")
    cluster.settle_down()
    assert cluster.nodes["c"].held() == {2: b"2", 3: b"3", 4: b"4"}
    assert cluster.nodes["c"].mirror is not None
    assert cluster.nodes["c"].mirror.complete


def test_mirror_that_lost_the_thread_holds_what_the_leader_never_had(
    cluster: HostingCluster,
) -> None:
    cluster.publish("a", b"old")
    pass_all(cluster, "a", "c")  # position 1, known to c alone
    cluster.kill("a", "b")
    cluster.reset("b", "c")
    cluster.notice("b", "c")
    while cluster.pass_word("b"):
        pass
    receipts = cluster.publish("b", b"new")  # before c has heard of b's stream
    cluster.settle_down()
    assert accepted(receipts) == [True]
    assert cluster.nodes["c"].held() == {first_position_of(2): b"new"}
    cluster.kill("b", "c")
    cluster.settle_down()
    assert cluster.leader.held() == {first_position_of(2): b"new"}


def test_mirror_that_lost_the_thread_and_a_whole_epoch(cluster: HostingCluster) -> None:
    cluster.publish("a", b"first")
    cluster.settle_down()
    cluster.publish("a", b"old")
    pass_all(cluster, "a", "c")
    cluster.reset("b", "c")
    cluster.kill("a", "b")
    cluster.start("a")
    for name in ("a", "b"):
        while cluster.pass_word(name):
            pass
    receipts = cluster.publish("b", b"lost")
    cluster.kill("b", "c")
    cluster.settle_down()
    assert accepted(receipts) == [False]
    assert cluster.leader.held() == {1: b"first", 2: b"old"}
    assert cluster.nodes["a"].held() == cluster.leader.held()


def test_mirror_that_lost_the_thread_copies_while_the_queue_serves() -> None:
    alone = LeaderAlone(["m"], in_sync=[])
    alone.publish("u", 1, 1200)
    alone.leader.begin_mirror("m")
    (begin,) = alone.stream()
    assert begin == Begin(1, 1, 0, True, [(1, 1200)], 1201, 0, {"u": 1200}, 0, 1)
    alone.leader.lacked("m", Lacked(1, 1, 0, [(1, 1200)]))
    (first,) = alone.stream()
    assert isinstance(first, Copied)
    assert [entry[0] for entry in first.entries] == list(range(1, 501))
    consumer = Consumer(("u", 1), 1)
    alone.leader.subscribe("u", 1, consumer)
    alone.pump()
    alone.leader.settle(("u", 1), [10, 700])
    alone.publish("u", 1201, 1)
    records = alone.stream()
    assert [type(record) for record in records] == [Announced, Removed, Enqueued]
    alone.applied("m", records[-1].sequence)
    (second,) = alone.stream()
    assert isinstance(second, Copied)
    assert [entry[0] for entry in second.entries] == [*range(501, 700), *range(701, 1002)]
    alone.applied("m", second.sequence)
    (third,) = alone.stream()
    assert isinstance(third, Copied)
    assert third.complete
    assert [entry[0] for entry in third.entries] == list(range(1002, 1201))
    assert not alone.port.requests
    alone.applied("m", third.sequence)
    assert [type(one) for one in alone.port.requests] == [AdmitMirror]


# --- alone ---------------------------------------------------------------------------------------


def test_what_nobody_mirrors_is_accepted_and_delivered_at_once() -> None:
    alone = LeaderAlone([])
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    alone.publish("u", 1, 3)
    assert alone.port.accepted_through == [("u", 3)]
    assert alone.port.delivered == [(1, False), (2, False), (3, False)]
    assert alone.stream() == []


def test_a_mirror_is_given_up_once_and_asked_for_again() -> None:
    alone = LeaderAlone(["m"])
    alone.leader.give_up_mirror("m")
    alone.leader.give_up_mirror("m")
    alone.leader.give_up_mirror("stranger")
    assert alone.port.requests == [DropMirror(1, 1, "m")]
    alone.leader.mirror_answered(DropMirror(1, 1, "m"))
    alone.leader.give_up_mirror("m")
    assert len(alone.port.requests) == 2
    alone.complete("m")
    alone.place(["m"], in_sync=[])  # it was dropped after all, and holds everything
    alone.pump()
    assert alone.port.requests[2:] == [AdmitMirror(1, 1, "m", 7)]


def test_an_exclusive_consumer_keeps_others_out() -> None:
    alone = LeaderAlone([])
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1, exclusive=True))
    alone.leader.subscribe("u", 2, Consumer(("u", 2), 1))
    first, second = alone.port.told
    assert first == ("u", Replied(1, 1, 1, None, 0, 1))
    assert isinstance(second[1], Replied)
    assert second[1].refusal is not None
    assert second[1].refusal.reply_code == ACCESS_REFUSED
    alone.leader.unsubscribe("u", 3, ("u", 1), 1)
    alone.leader.subscribe("u", 4, Consumer(("u", 2), 1))
    alone.leader.subscribe("u", 5, Consumer(("u", 3), 1, exclusive=True))
    refusals = [record.refusal for _, record in alone.port.told[2:]]
    assert [one is not None for one in refusals] == [False, False, True]


@pytest.mark.parametrize("prefetch", [0, 5])
def test_a_paused_consumer_gets_no_more(prefetch: int) -> None:
    alone = LeaderAlone(["m"])
    alone.complete("m")
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1, prefetch_count=prefetch))
    alone.pump()
    alone.leader.pause_consumer(("u", 1), 1, True)
    alone.publish("u", 1, 3 * WINDOW_MAX)
    alone.answer_all("m")
    assert alone.port.delivered == []
    assert alone.leader._announcing.announced <= WINDOW_MAX
    alone.leader.pause_consumer(("u", 1), 1, False)
    alone.pump()
    alone.answer_all("m")
    expected = prefetch or 3 * WINDOW_MAX
    assert alone.port.delivered == [(at, False) for at in range(1, expected + 1)]


def test_a_get_waits_until_the_mirrors_know() -> None:
    alone = LeaderAlone(["m"])
    alone.complete("m")
    alone.publish("u", 1, 1)
    alone.answer_all("m")
    alone.leader.get("u", 7, ("u", 1), False)
    alone.pump()
    assert [record for _, record in alone.port.told if isinstance(record, Got)] == []
    alone.answer_all("m")
    (got,) = [record for _, record in alone.port.told if isinstance(record, Got)]
    assert (got.request, got.position, got.redelivered, got.remaining) == (7, 1, False, 0)
    assert got.run == (ROUTE.exchange, ROUTE.routing_key, 0, [b"1"])
    alone.leader.get("u", 8, ("u", 1), True)
    alone.pump()
    assert alone.port.told[-1] == ("u", Got(1, 1, 8, 0, False, None, 0))


def test_a_purge_is_answered_when_the_mirrors_have_it() -> None:
    alone = LeaderAlone(["m"])
    alone.complete("m")
    alone.publish("u", 1, 3)
    alone.answer_all("m")
    alone.leader.inquire("u", 5, "purge", False, False)
    assert alone.stream()[-1] == Removed(1, 1, alone.last_sent, [(1, 3)])
    assert alone.port.told == []
    alone.answer_all("m")
    assert alone.port.told == [("u", Replied(1, 1, 5, None, 3, 0))]


def test_deleting_has_its_conditions() -> None:
    alone = LeaderAlone([])
    alone.publish("u", 1, 1)
    alone.leader.inquire("u", 1, "delete", False, True)
    alone.leader.subscribe("u", 2, Consumer(("u", 1), 1))
    alone.leader.inquire("u", 3, "delete", True, False)
    refused = [record.refusal for _, record in alone.port.told]
    codes = [one and one.reply_code for one in refused]
    assert codes == [PRECONDITION_FAILED, None, PRECONDITION_FAILED]
    assert alone.port.deletions == 0
    alone.leader.inquire("u", 4, "delete", False, False)
    assert alone.port.deletions == 1
    alone.publish("u", 2, 1)
    assert alone.port.accepted_through[-1] == ("u", 2)
    assert alone.leader.queue.next_position == 2, "a queue being deleted takes nothing"


def test_an_auto_delete_queue_goes_with_its_last_consumer() -> None:
    alone = LeaderAlone([], auto_delete=True)
    alone.leader.release(("u", 9))
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    alone.leader.subscribe("u", 2, Consumer(("v", 1), 1))
    alone.leader.release(("u", 1))
    assert alone.port.deletions == 0
    alone.leader.release_user("v")
    assert alone.port.deletions == 1


def test_a_user_that_is_lost_gives_everything_back() -> None:
    alone = LeaderAlone([])
    alone.leader.subscribe("u", 1, Consumer(("u", 1), 1))
    alone.publish("u", 1, 2)
    alone.leader.release_user("u")
    alone.leader.subscribe("v", 1, Consumer(("v", 1), 1))
    alone.pump()
    assert alone.port.delivered == [(1, False), (2, False), (1, True), (2, True)]
    alone.leader.settle(("u", 1), [1, 2])
    assert alone.leader.queue.held_count == 2, "an old settlement settles nothing"


def test_old_answers_of_mirrors_count_for_nothing() -> None:
    alone = LeaderAlone(["m"])
    alone.leader.applied("m", Applied(1, 1, 99, 99))
    alone.leader.applied("stranger", Applied(1, 1, 99, 99))
    alone.publish("u", 1, 1)
    alone.leader.begin_mirror("m")
    alone.leader.applied("m", Applied(1, 1, 99, 99))
    assert alone.port.accepted_through == []
