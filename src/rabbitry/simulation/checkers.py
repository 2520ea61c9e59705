"""What must hold of every run, judged from its history: one function for each promise.

Observers, not code in the product: each takes facts (`rabbitry.simulation.history`) and returns
what is wrong with them, one sentence each, empty if nothing is. They know nothing of how a run was
made, so the drill over real processes uses them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rabbitry.simulation.history import Delivery, History, MessageKey, ReplicaView

_SHOWN_MAX = 5
_CONFIRM_UNDER_WAY_US = 1_000_000


def _some(keys: Iterable[object]) -> str:
    texts = [str(key) for key in keys]
    more = f" and {len(texts) - _SHOWN_MAX} more" if len(texts) > _SHOWN_MAX else ""
    return ", ".join(texts[:_SHOWN_MAX]) + more


def check_confirmed_delivered(history: History) -> list[str]:
    """Every confirmed message was delivered at least once. For the end of a run, after a drain.

    A transient one is forgiven if all who had it in memory have died since it was confirmed, or
    so shortly before the confirm came that it was under way.
    """
    lost = [
        key
        for key in history.confirmed
        if key not in history.delivered_keys and not _forgotten(history, key)
    ]
    return [f"confirmed but never delivered: {_some(lost)}"] if lost else []


def _forgotten(history: History, key: MessageKey) -> bool:
    published = history.published[key]
    if published.queue in history.forsaken:
        return True
    wipes = history.wipes.get(published.queue, ())
    confirmed_at = history.confirmed[key] - _CONFIRM_UNDER_WAY_US
    return not published.persistent and any(at >= max(published.at, confirmed_at) for at in wipes)


def _resends_max(history: History, delivery: Delivery) -> int:
    """Return how often a message may have come to its queue again by the time of a delivery.

    A node sends what is not confirmed again, to the next leader. If all who had it in memory have
    died, and it was in no store yet, then nobody knows that it was there, and may have been out.
    """
    key = delivery.key
    published = history.published.get(key)
    if published is None:
        return 0
    if history.forsaken.get(published.queue, delivery.at) < delivery.at:
        return len(history.deliveries)  # who leads it now does not know what has been out
    confirmed_at = history.confirmed.get(key, delivery.at)
    deaths = history.deaths.get(published.node, ())
    return sum(
        published.at <= at < min(delivery.at, confirmed_at)
        and not any(published.at <= death <= at for death in deaths)
        for at in history.wipes.get(published.queue, ())
    )


def check_bodies(history: History) -> list[str]:
    """Every delivered body is one that was published, whole, to that queue."""
    return list(history.damaged)


def check_routed(history: History) -> list[str]:
    """No message came back as unroutable: the workload publishes only to queues it has declared."""
    if not history.returned:
        return []
    return [f"returned as unroutable though the queue exists: {_some(history.returned)}"]


def check_order(history: History) -> list[str]:
    """First deliveries come in publish order, per queue, publisher's and consumer's connection.

    A publisher's connection is the unit, because bytes of a connection that was lost may still
    arrive after the first bytes of the next. What may have come to the queue again (see
    `_resends_max`) has no place in the order.
    """
    faults: list[str] = []
    last: dict[tuple[str, str, int, str, int], tuple[int, MessageKey]] = {}
    for delivery in history.deliveries:
        published = history.published.get(delivery.key)
        if delivery.redelivered or published is None or _resends_max(history, delivery):
            continue
        key = delivery.key
        stream = (
            delivery.queue,
            key.publisher,
            published.connection,
            delivery.consumer,
            delivery.connection,
        )
        before = last.get(stream)
        if before is not None and before[0] >= published.number:
            faults.append(
                f"{delivery.consumer} got {key} after {before[1]} from {delivery.queue}, "
                f"neither marked redelivered"
            )
        last[stream] = (published.number, key)
    return faults


def check_redelivered(history: History) -> list[str]:
    """Of all deliveries of one message, at most one is without `redelivered`.

    Which one a client sees first is chance (a slow link may bring the first delivery last), so the
    order of the deliveries says nothing. One more is forgiven for each time that the message may
    have come to the queue again.
    """
    fresh: dict[MessageKey, list[str]] = {}
    faults: list[str] = []
    for delivery in history.deliveries:
        if delivery.redelivered:
            continue
        who = f"{delivery.consumer} (connection {delivery.connection}, {delivery.at} us)"
        earlier = fresh.setdefault(delivery.key, [])
        if len(earlier) > _resends_max(history, delivery):
            faults.append(
                f"{delivery.key} delivered twice without redelivered: to {earlier[-1]}, to {who}"
            )
        earlier.append(who)
    return faults


def check_acknowledged(history: History) -> list[str]:
    """What was acknowledged in the quiet time, and stored as gone, did not come back."""
    quiet = history.quiet
    if quiet is None:
        return []
    last: dict[MessageKey, int] = {}  # delivery before the nodes died
    back: dict[MessageKey, None] = {}
    for delivery in history.deliveries:
        if delivery.at > quiet.end:
            back[delivery.key] = None
        else:
            last[delivery.key] = delivery.at
    wrong: list[MessageKey] = []
    for key in back:
        if key in history.published and history.published[key].queue in history.forsaken:
            continue
        for one in history.acknowledged.get(key, ()):
            lost_at = history.connections_lost.get((one.consumer, one.connection), quiet.end)
            in_time = quiet.since <= one.at <= quiet.until
            if in_time and one.delivered_at == last[key] and lost_at >= quiet.end:
                wrong.append(key)
    if not wrong:
        return []
    return [f"acknowledged in time and back after all nodes died: {_some(wrong)}"]


def check_settled_for_good(history: History) -> list[str]:
    """Where nodes only ended in order: what was acknowledged was not delivered again.

    Also not to another consumer, nor marked. The acknowledgement was sent over a connection that
    its client had not heard the end of.
    """
    if not history.orderly:
        return []
    wrong = [
        delivery.key
        for delivery in history.deliveries
        if any(one.at < delivery.at for one in history.acknowledged.get(delivery.key, ()))
    ]
    return [f"delivered after it was acknowledged: {_some(wrong)}"] if wrong else []


def check_forsaken(history: History) -> list[str]:
    """No durable queue is lost but by damage. Then it is said, and forgiven elsewhere."""
    if history.damage_at is not None:
        return []
    return [f"{queue} is said to be lost" for queue in history.forsaken]


def check_declared(history: History) -> list[str]:
    """What was declared and durable was there when a client looked for it at the end."""
    return [f"{what} is not as declared" for what in history.undeclared]


def check_leaders(history: History) -> list[str]:
    """In one epoch of a queue at most one node leads."""
    return [
        f"{queue} has several leaders in epoch {epoch}: {_some(nodes)}"
        for (queue, epoch), nodes in history.leaders_seen.items()
        if len(nodes) > 1
    ]


def check_epochs(history: History) -> list[str]:
    """The coordinator gives each epoch of a queue once, and nobody leads in an epoch not his."""
    faults = [
        f"epoch {epoch} of {queue} was given to several: {_some(nodes)}"
        for (queue, epoch), nodes in history.leaders_given.items()
        if len(nodes) > 1
    ]
    for (queue, epoch), nodes in history.leaders_seen.items():
        given = history.leaders_given.get((queue, epoch))
        if given:
            faults += [
                f"{node} leads {queue} in epoch {epoch}, which was given to {_some(given)}"
                for node in nodes
                if node not in given
            ]
    return faults


def check_replicas_agree(views: Sequence[ReplicaView]) -> list[str]:
    """Every in-sync replica holds exactly what its leader holds. For a cluster that is quiet.

    A replica is judged if it is in its leader's in-sync set or, where that is not told, in the
    leader's epoch. A queue that somebody mirrors but nobody leads is a fault.
    """
    faults: list[str] = []
    queues = list(dict.fromkeys(view.queue for view in views))
    for queue in queues:
        held = [view for view in views if view.queue == queue]
        leaders = [view for view in held if view.role == "leader"]
        if not leaders:
            faults.append(f"{queue} has no leader: {_some(view.node for view in held)} hold it")
            continue
        leader = max(leaders, key=lambda view: view.epoch)
        for view in held:
            if view is leader:
                continue
            if leader.in_sync:
                judged = view.node in leader.in_sync
            else:
                judged = view.epoch == leader.epoch
            if judged:
                faults += _differences(leader, view)
    return faults


def check_once(leader: ReplicaView) -> list[str]:
    """A leader holds no message twice: what is sent to it again is known. Holds at any moment."""
    digests = [digest for _, digest in leader.messages if digest is not None]
    if len(set(digests)) == len(digests):
        return []
    first: dict[object, int] = {}
    twice = [
        (first[digest], position)
        for position, digest in leader.messages
        if digest is not None and first.setdefault(digest, position) != position
    ]
    where = f"{leader.queue}: leader {leader.node} (epoch {leader.epoch})"
    return [f"{where}: holds the same message at positions {_some(twice)}"]


def check_mirror(leader: ReplicaView, mirror: ReplicaView) -> list[str]:
    """A mirror of the leader's epoch holds a prefix of what its leader did. Holds at any moment.

    It is never ahead, at each position it holds the leader's message, and once it has `complete`d
    it lacks none that the leader had given it by its position. One whose stream has not `begun` in
    this epoch may hold what its former leader told it, and is not judged.
    """
    if mirror is leader or mirror.epoch != leader.epoch or not mirror.begun:
        return []
    where = f"{mirror.queue}: {mirror.node} against leader {leader.node} (epoch {leader.epoch})"
    faults: list[str] = []
    if mirror.position > leader.position:
        faults.append(f"{where}: is at {mirror.position}, ahead of {leader.position}")
    theirs, ours = dict(leader.messages), dict(mirror.messages)
    other = [one for one in ours if one in theirs and _differ(theirs[one], ours[one])]
    if other:
        faults.append(f"{where}: differs in positions {_some(other)}")
    if mirror.complete:
        lacking = [one for one in theirs if one <= mirror.position and one not in ours]
        if lacking:
            faults.append(f"{where}: lacks positions {_some(lacking)}")
    return faults


def _differ(one: object, other: object) -> bool:
    """Tell whether two digests differ; that of a message that is in the store alone is None."""
    return one is not None and other is not None and one != other


def _differences(leader: ReplicaView, mirror: ReplicaView) -> list[str]:
    where = f"{mirror.queue}: {mirror.node} against leader {leader.node} (epoch {leader.epoch})"
    faults: list[str] = []
    if mirror.epoch != leader.epoch:
        faults.append(f"{where}: is in epoch {mirror.epoch}")
    if mirror.position != leader.position:
        faults.append(f"{where}: applied up to {mirror.position}, not {leader.position}")
    if mirror.messages != leader.messages:
        theirs, ours = dict(leader.messages), dict(mirror.messages)
        missing = [position for position in theirs if position not in ours]
        extra = [position for position in ours if position not in theirs]
        other = [p for p in theirs if p in ours and _differ(theirs[p], ours[p])]
        for what, positions in (("lacks", missing), ("has besides", extra), ("differs in", other)):
            if positions:
                faults.append(f"{where}: {what} positions {_some(positions)}")
        if list(theirs) != list(ours) and not (missing or extra or other):
            faults.append(f"{where}: holds the same messages in another order")
    return faults


def check_progress(history: History, since: int, publishers: Sequence[str]) -> list[str]:
    """After `since` (microseconds) each publisher had a confirm and each queue a delivery."""
    confirmed_for = {key.publisher for key, at in history.confirmed.items() if at >= since}
    faults = [
        f"{publisher} got no confirm after the faults were healed"
        for publisher in publishers
        if publisher not in confirmed_for
    ]
    delivered_from = {d.queue for d in history.deliveries if d.at >= since}
    queues = dict.fromkeys(publication.queue for publication in history.published.values())
    faults += [
        f"{queue} delivered nothing after the faults were healed"
        for queue in queues
        if queue not in delivered_from
    ]
    return faults


def check_history(history: History) -> list[str]:
    """All that a history alone can tell, at the end of a run."""
    return [
        *check_bodies(history),
        *check_routed(history),
        *check_confirmed_delivered(history),
        *check_order(history),
        *check_redelivered(history),
        *check_acknowledged(history),
        *check_settled_for_good(history),
        *check_forsaken(history),
        *check_declared(history),
        *check_leaders(history),
        *check_epochs(history),
    ]
