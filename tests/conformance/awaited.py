"""Conversations in which we do not answer as RabbitMQ does yet: by reason, the names.

A difference that goes away fails its test: then its name goes from here. What is to stay is told in
docs/differences-from-rabbitmq.md.
"""

from __future__ import annotations

_LISTED: dict[str, str] = {
    "dead lettering: not as in RabbitMQ yet": """
        acknowledged_is_not_dead dead_letter_with_copies
        dead_letter_with_copies_and_a_key_of_its_own dropped_for_the_length
        exchange_that_comes_later exchange_that_is_missing_takes_them
        expired_at_once_is_a_dead_letter expired_by_itself_loses_its_expiration expired_by_the_queue
        for_two_reasons_from_one_queue from_queue_to_queue headers_that_look_like_a_history
        its_own_routing_key_where_none_is_given purged_and_deleted_are_not_dead
        refused_and_a_dead_letter refused_for_the_length_is_no_dead_letter rejected
        rejected_by_a_consumer_in_a_transaction rejected_keeps_no_expiration_either
        requeued_by_a_closed_channel_is_not_dead requeued_is_not_dead
        round_and_round_where_it_was_rejected round_without_a_rejection_is_dropped several_rejected
        to_an_exchange_with_an_alternate to_the_same_queue_after_a_rejection
        to_the_same_queue_after_expiry_is_dropped twice_from_one_queue
    """,
    "lengths: not as in RabbitMQ yet": """
        both_lengths_hold bytes_that_do_not_fit_are_refused consumer_makes_room
        full_queue_refuses_dead_lettering full_queue_refuses_plain
        full_queue_refuses_without_a_word_where_nobody_asked headers_do_not_count_as_bytes
        larger_than_the_queue_may_be length_and_transactions length_of_nothing oldest_are_dropped
        oldest_are_dropped_until_the_bytes_fit publishes_are_confirmed_though_dropped
        purged_queue_has_room_again refused_by_one_queue_of_two requeued_beyond_the_length
        unacknowledged_do_not_count
    """,
    "priorities: not as in RabbitMQ yet": """
        longest_of_low_priority_is_dropped
    """,
    "queue arguments: not as in RabbitMQ yet": """
        argument_dead_letter_exchange_default argument_dead_letter_exchange_missing
        argument_dead_letter_routing_key_text argument_expires_byte argument_expires_long
        argument_max_length_byte argument_max_length_bytes_zero argument_max_length_huge
        argument_max_length_long argument_max_length_zero argument_message_ttl_byte
        argument_message_ttl_long argument_message_ttl_zero argument_overflow_drop_head
        argument_overflow_reject argument_overflow_reject_dlx
        dead_letter_routing_key_declared_otherwise declared_again_with_other_dead_letter_exchange
        declared_again_with_other_expires declared_again_with_other_max_length
        declared_again_with_other_max_length_bytes declared_again_with_other_message_ttl
        declared_again_with_other_overflow declared_again_without_dead_letter_exchange
        declared_again_without_expires declared_again_without_max_length
        declared_again_without_max_length_bytes declared_again_without_message_ttl
        declared_again_without_overflow same_number_of_another_width
        several_arguments_in_another_order
    """,
    "quorum: not as in RabbitMQ yet": """
        delivered_more_often_than_allowed_is_a_dead_letter
        delivered_more_often_than_allowed_is_dropped deliveries_are_counted
        full_quorum_queue_drops_its_oldest message_with_headers_is_counted_beside_them
        quorum_queue_got_and_acknowledged quorum_queue_with_bytes
        quorum_queue_with_dead_letter_exchange quorum_queue_with_delivery_limit
        quorum_queue_with_delivery_limit_negative quorum_queue_with_delivery_limit_text
        quorum_queue_with_drop_head quorum_queue_with_expires quorum_queue_with_length
        quorum_queue_with_reject quorum_queue_with_reject_dlx quorum_queue_with_ttl
        rejected_by_a_quorum_queue stream_declared_plain
    """,
    "ttl: not as in RabbitMQ yet": """
        consumer_keeps_a_queue_from_expiring dead_letters_of_a_queue_that_expires_are_lost
        expiration_of_zero expiration_that_is_wrong_number_then_line expired_at_once_is_not_returned
        expired_at_once_without_a_consumer expiring_queue_tells_nobody_bound
        message_expires_by_its_own_time messages_of_a_queue_expire
        publishing_does_not_keep_a_queue_from_expiring purge_before_it_expires
        queue_is_kept_from_expiring_by_declare queue_is_kept_from_expiring_by_get
        shorter_time_behind_a_longer_one_waits the_shorter_of_two_times_holds
        time_to_live_of_nothing_reaches_a_consumer unused_queue_expires
        what_is_given_back_too_late_expires what_is_unacknowledged_does_not_expire
    """,
}

AWAITED = {name: reason for reason, names in _LISTED.items() for name in names.split()}
