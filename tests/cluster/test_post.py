"""What leaders have for users and mirrors finds its way. (More in test_hosting.py.)"""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from rabbitry.cluster.post import Post
from rabbitry.cluster.queue_records import Accepted, Marked
from rabbitry.cluster.site import Site


def posting() -> tuple[Post, Any, Any]:
    peers: Any = MagicMock()
    peers.is_up.return_value = True
    peers.origin_of.return_value = "b#2"
    entry: Any = MagicMock()
    entry.placed.epoch = 3
    post = Post("a#1", peers)
    site = post._sites[7] = Site(entry)
    site.proxy = MagicMock()
    return post, peers, site.proxy


def test_a_user_is_here_or_on_another_node() -> None:
    post, peers, proxy = posting()
    record = Marked(7, 3, 1)
    post.tell_user("a#1", record)
    proxy.receive.assert_called_once_with(record)
    post.tell_user("b#2", record)
    post.tell_user("b#1", record)
    peers.send.assert_called_once_with("b", record)


def test_confirms_are_told_once_for_each_step() -> None:
    post, peers, proxy = posting()
    post.accepted(7, "a#1", 4)
    proxy.accepted.assert_called_once_with(4)
    post.accepted(7, "b#2", 4)
    post.accepted(7, "b#2", 5)
    post.tell_accepted()
    post.tell_accepted()
    peers.send.assert_called_once_with("b", Accepted(7, 3, 5))


def test_the_stream_goes_to_all_mirrors() -> None:
    post, peers, _ = posting()
    post.tell_mirrors(["b", "c"], b"record")
    assert [call.args for call in peers.send_encoded.call_args_list] == [
        ("b", b"record"),
        ("c", b"record"),
    ]
