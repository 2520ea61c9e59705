"""A node's store: one commit under way, what is found at start, and a disk that refuses."""

from __future__ import annotations

from support.stored_messages import StoringNode, run

from rabbitry.cluster.chunks import ChunkKey, Kept, kept_key
from rabbitry.cluster.node_store import RETRY_US
from rabbitry.cluster.queue_store import QueueStore


def kept(next_position: int = 10, seen_through: int = 3) -> Kept:
    return Kept(1, 0, next_position, seen_through, False, {}, {}, [])


def filled(node: StoringNode, number: int = 1) -> QueueStore:
    store = node.store.queue(number)
    store.describe = kept
    store.enqueue(1, run(b"a", b"b"))
    return store


def test_one_commit_is_under_way_and_the_next_has_all_since() -> None:
    node = StoringNode()
    node.start()
    node.commit()
    filled(node)
    node.end_step()
    filled(node, 2)
    filled(node, 3)
    node.end_step()
    assert len(node.commits) == 1
    node.store.committed(node.commits.pop(0).commit)
    node.end_step()
    keys = [key for key, _ in node.commits[0].writes]
    assert kept_key(2) in keys and kept_key(3) in keys
    assert node.stored == [1]


def test_a_store_has_a_name_for_ever_and_a_cluster() -> None:
    node = StoringNode()
    node.start()
    assert len(node.store.name) == 32
    node.store.join_cluster("c")
    node.commit()
    again = StoringNode(node.values)
    again.start()
    assert (again.store.name, again.store.cluster) == (node.store.name, "c")
    again.end_step()
    assert again.commits == [], "nothing has changed"


def test_what_was_heard_is_written_with_whatever_is_and_at_most_at_every_tick() -> None:
    node = StoringNode()
    node.start()
    node.commit()
    assert node.store.heard == ("", 0)
    node.store.hear("a life", 4)
    node.end_step()
    assert node.commits == [], "nobody waits for it"
    filled(node)
    node.commit()
    again = StoringNode(dict(node.values))
    again.start()
    assert again.store.heard == ("a life", 4)
    node.store.hear("a life", 5)
    node.store.hear("another", 6)
    node.store.tick(0)
    node.commit()
    again = StoringNode(dict(node.values))
    again.start()
    assert again.store.heard == ("another", 6)
    node.store.tick(0)
    node.end_step()
    assert node.commits == [], "that is known already"


def test_what_was_heard_is_written_though_the_disk_refused_it_first() -> None:
    node = StoringNode()
    node.start()
    node.commit()
    node.store.hear("a life", 4)
    node.store.tick(0)
    node.end_step()
    node.commits.clear()
    node.store.failed("disk full", 0)
    node.store.tick(RETRY_US)
    node.commit()
    again = StoringNode(dict(node.values))
    again.start()
    assert again.store.heard == ("a life", 4)


def test_after_any_stop_but_an_orderly_one_everything_counts_as_seen() -> None:
    node = StoringNode()
    node.start()
    filled(node)
    node.commit()
    crashed = StoringNode(dict(node.values))
    crashed.start()
    assert crashed.store.kept[1].seen_through == 9
    done: list[bool] = []
    node.store.stop(lambda: done.append(True))
    assert done == []
    node.commit()
    assert done == [True]
    orderly = StoringNode(dict(node.values))
    orderly.start()
    assert orderly.store.kept[1].seen_through == 3
    orderly.commit()
    crashed = StoringNode(orderly.values)
    crashed.start()
    assert crashed.store.kept[1].seen_through == 9, "the word is good for one start"


def test_what_counts_as_seen_does_so_also_after_an_orderly_stop_without_a_part() -> None:
    """Durable seed 22: the node that had crashed was told to end before it had been welcomed."""
    node = StoringNode()
    node.start()
    filled(node)
    node.commit()
    crashed = StoringNode(node.values)
    crashed.start()
    crashed.commit()
    crashed.store.stop(lambda: None)
    crashed.commit()
    orderly = StoringNode(node.values)
    orderly.start()
    assert orderly.store.orderly and orderly.store.kept[1].seen_through == 9


def test_what_waits_for_all_that_was_given_hears_of_the_commit_under_way() -> None:
    node = StoringNode()
    done: list[str] = []
    node.start()
    node.store.when_durable(lambda: done.append("the name"))
    node.end_step()
    node.store.when_durable(lambda: done.append("under way"))
    node.end_step()
    assert done == []
    node.commit()
    assert done == ["the name", "under way"]
    node.store.when_durable(lambda: done.append("at once"))
    assert done[2:] == ["at once"]


def test_when_the_disk_refuses_all_is_handed_over_again() -> None:
    node = StoringNode()
    node.start()
    node.commit()
    store = filled(node)
    waited: list[str] = []
    node.store.when_durable(lambda: waited.append("then"))
    node.end_step()
    node.commits.clear()
    node.store.failed("No space left on device", 5)
    node.store.failed("No space left on device", 6)
    assert node.refusals == ["No space left on device"]
    store.enqueue(3, run(b"c"))
    store.remove([(1, 1)])
    node.end_step()
    assert node.commits == [], "not before it is time"
    node.store.tick(5 + RETRY_US)
    node.commit()
    assert node.refusals[-1] == "" and waited == ["then"] and store.is_durable
    again = StoringNode(node.values)
    again.start()
    assert again.store.queue(1).ranges() == [(2, 3)]


def test_on_a_full_disk_removals_go_first_and_alone() -> None:
    node = StoringNode()
    node.start()
    store = filled(node)
    node.commit()
    written = dict(node.values)
    store.enqueue(3, run(b"c"))
    node.end_step()
    node.commits.clear()
    node.store.failed("No space left on device", 0)
    store.remove([(1, 2)])
    node.store.tick(RETRY_US)
    node.end_step()
    (relief,) = node.commits
    assert relief.writes == [(ChunkKey(1, 1, 2, 0).encode(), None)]
    assert not store.is_durable
    assert ChunkKey(1, 1, 2, 0).encode() in written
    node.commit()
    assert store.is_durable and node.refusals[-1] == ""
    again = StoringNode(node.values)
    again.start()
    assert again.store.queue(1).ranges() == [(3, 3)]


def test_while_the_disk_stays_full_what_is_removed_is_written_all_the_same() -> None:
    node = StoringNode()
    node.start()
    store = filled(node)
    node.commit()
    store.enqueue(3, run(b"c"))
    for now in range(0, 5 * RETRY_US, RETRY_US):
        node.store.tick(now)
        node.end_step()
        (commit,) = node.commits
        if all(value is None or key[:1] == b"h" for key, value in commit.writes):
            node.commits.clear()
            for key, value in commit.writes:
                node.values.update({key: value} if value is not None else {})
                if value is None:
                    node.values.pop(key)
            node.store.committed(commit.commit)
            node.end_step()
        node.commits.clear()
        node.store.failed("No space left on device", now)
        if now == RETRY_US:
            store.remove([(1, 1)])
        if now == 2 * RETRY_US:
            store.remove([(2, 2)])
    assert not store.is_durable
    again = StoringNode(dict(node.values))
    again.start()
    assert again.store.queue(1).ranges() == []


def test_damage_is_told_by_queue_and_touches_no_other() -> None:
    node = StoringNode()
    node.start()
    filled(node)
    filled(node, 2)
    node.commit()
    broken = StoringNode(dict(node.values))
    broken.start([ChunkKey(2, 1, 2, 0).encode()])
    assert broken.store.damaged == [2]
    assert list(broken.store.kept) == [1]
    assert broken.store.queue(2).damaged and not broken.store.queue(1).damaged
    broken.commit()
    assert ChunkKey(2, 1, 2, 0).encode() in broken.values, "who can read it may still want it"
    broken.store.queue(2).discard()
    broken.commit()
    assert ChunkKey(2, 1, 2, 0).encode() not in broken.values


def test_what_was_written_to_get_it_out_of_memory_is_forgotten() -> None:
    node = StoringNode()
    node.start()
    store = filled(node)
    store.keep(50, run(b"t", persistent=False), [], lasting=False)
    node.commit()
    again = StoringNode(node.values)
    again.start()
    assert again.store.queue(1).ranges() == [(1, 2)]
    again.commit()
    assert ChunkKey(1, 50, 1, 0, lasting=False).encode() not in again.values
