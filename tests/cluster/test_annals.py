"""The annals: revisions, and commits that succeed or fail."""

from __future__ import annotations

from rabbitry.cluster.annals import Annals
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.catalog_store import Counters, load
from rabbitry.cluster.records import Change, NodeJoined, NodeLeft
from rabbitry.machine import Commit


class Stage:
    """Annals and what a store kept."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.annals = Annals(self.catalog, lambda: Counters(self.annals.revision))
        self.kept: dict[bytes, bytes] = {}

    def change(self, *changes: Change) -> Commit | None:
        for change in changes:
            self.annals.add(change)
        self.annals.close_batch()
        return self.annals.take_commit()

    def write(self, commit: Commit | None) -> list[int]:
        """Let a commit succeed; return the revisions that may be told."""
        assert commit is not None
        for key, value in commit.writes:
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value
        return [batch.revision for batch in self.annals.committed(commit.commit)]

    @property
    def nodes(self) -> tuple[list[str], int]:
        """Return what a coordinator started now would know, and its revision."""
        catalog = Catalog()
        counters = load(catalog, sorted(self.kept.items()))
        return list(catalog.nodes), counters.revision


def joined(name: str) -> NodeJoined:
    return NodeJoined(name, "1", "h", 1)


def test_a_revision_may_be_told_when_it_is_durable() -> None:
    stage = Stage()
    assert stage.change() is None
    first = stage.change(joined("a"), joined("b"))
    assert (stage.annals.revision, stage.annals.durable_revision) == (1, 0)
    assert stage.write(first) == [1]
    assert stage.annals.durable
    assert stage.nodes == (["a", "b"], 1) or stage.nodes == (["b", "a"], 1)


def test_all_that_one_step_changes_is_one_commit() -> None:
    stage = Stage()
    stage.annals.add(joined("a"))
    stage.annals.close_batch()
    assert stage.write(stage.change(joined("b"))) == [1, 2]


def test_counters_alone_are_waited_for() -> None:
    stage = Stage()
    stage.annals.note()
    assert not stage.annals.durable
    commit = stage.annals.take_commit()
    assert commit is not None
    assert len(commit.writes) == 1
    assert stage.write(commit) == [0]
    assert stage.annals.durable


def test_what_was_refused_goes_with_the_next_change() -> None:
    stage = Stage()
    first = stage.change(joined("a"))
    second = stage.change(joined("b"))
    assert first is not None
    assert second is not None
    stage.annals.failed(first.commit, "disk full")
    assert stage.annals.trouble == "disk full"
    assert stage.annals.take_commit() is None, "not again at once"
    third = stage.change(NodeLeft("a", "1", True))
    assert third is not None
    assert third.commit > second.commit
    assert stage.write(third) == [1, 2, 3]
    assert stage.nodes == (["b"], 3)


def test_what_was_refused_is_tried_again() -> None:
    stage = Stage()
    stage.annals.retry()
    assert stage.annals.take_commit() is None, "there is nothing that was refused"
    first = stage.change(joined("a"))
    assert first is not None
    stage.annals.failed(first.commit, "disk full")
    stage.annals.retry()
    again = stage.annals.take_commit()
    assert again is not None
    stage.annals.retry()
    assert stage.annals.take_commit() is None, "it is under way"
    stage.annals.failed(again.commit, "disk full")
    stage.annals.retry()
    assert stage.write(stage.annals.take_commit()) == [1]
    assert stage.nodes == (["a"], 1)


def test_what_was_written_before_the_failure_is_not_written_again() -> None:
    stage = Stage()
    first = stage.change(joined("a"))
    second = stage.change(joined("b"))
    assert second is not None
    assert stage.write(first) == [1]
    stage.annals.failed(second.commit, "disk full")
    stage.annals.retry()
    again = stage.annals.take_commit()
    assert again is not None
    assert len(again.writes) == 2
    assert stage.write(again) == [2]
