"""What happens when the disk, the network or the collector fails."""

from tests.reliability.row import Row

__all__ = ("TRANSPORT",)

TRANSPORT = (
    Row(
        "the collector is down at the start, away for a while, flapping",
        "0 lost within the bound, sent in order when it is back; one connection for each journal, no herd",
        (
            "faults/test_outages.py::test_collector_down_at_start_gets_everything_in_order_when_it_comes",
            "faults/test_outages.py::test_collector_flapping_loses_nothing_and_is_replayed_in_order",
            "faults/test_outages.py::test_collector_away_and_back_loses_nothing_and_gets_at_most_one_batch_again",
            "faults/test_outages.py::test_many_processes_of_one_journal_are_one_connection",
            "faults/test_retry_after.py::test_shippers_that_failed_together_do_not_try_again_together",
            "faults/test_bursts.py::test_a_burst_is_delivered_whole_and_once",
            "endtoend/test_trouble_network.py::test_a_collector_that_goes_away_and_comes_back_gets_everything",
        ),
        why_not="an outage of an hour at 200 phases a second: seconds are tried, not an hour",
    ),
    Row(
        "the journal's bound is reached",
        "oldest sealed segments go, records of runs last; counted exactly; one warning a minute",
        (
            "journal/test_bound.py::test_spool_bound_reached_the_oldest_go_first_and_are_counted",
            "journal/test_bound.py::test_the_records_of_runs_go_last",
            "journal/test_bound.py::test_one_warning_a_minute_whichever_process_drops",
            "journal/test_bound.py::test_a_kill_between_any_two_steps_leaves_exact_books",
            "bridge/test_directory.py::test_beyond_the_bound_every_span_is_sent_or_counted_and_none_is_both",
            "cli/test_upkept_journals.py::test_status_says_what_the_bound_cost_and_what_was_set_aside",
        ),
    ),
    Row(
        "disk full, EIO, EROFS, EMFILE, quota",
        "the application is unharmed; what the disk refuses waits in bounded memory, goes out from there, and is on "
        "disk when that is back; counted; recovers by itself",
        (
            "journal/test_faults.py::test_a_full_disk_costs_records_that_are_counted_and_recovers_by_itself",
            "journal/test_faults.py::test_a_read_only_file_system_costs_every_record",
            "journal/test_faults.py::test_whichever_call_fails_nothing_is_raised_and_the_books_balance",
            "journal/test_faults.py::test_what_the_kernel_refuses_is_counted_by_reason",
            "journal/test_faults.py::test_a_file_size_limit_costs_records_and_not_the_process",
            "bridge/metrics/test_state.py::test_a_full_disk_is_said_nothing_is_shown_and_the_next_commit_has_it_all",
            "endtoend/test_trouble.py::test_without_a_place_to_write_one_warning_is_given_and_spans_go_out_from_memory",
            "journal/test_lasting.py::test_a_full_disk_costs_nothing_when_it_is_back",
            "journal/test_lasting.py::test_what_comes_meanwhile_waits_behind_and_order_is_kept",
            "journal/test_lasting.py::test_memory_is_bounded_and_what_falls_out_is_counted",
            "journal/test_lasting.py::test_a_removed_directory_comes_back_with_all_that_was_in_the_segment",
            "journal/test_lasting.py::test_whichever_call_fails_once_nothing_is_lost_and_for_ever_all_is_kept",
            "endtoend/test_failing_disk.py::test_a_disk_that_is_full_to_the_end_costs_no_span_and_is_said_once",
            "endtoend/test_failing_disk.py::test_what_goes_out_from_memory_does_not_go_out_again_when_the_disk_is_back",
            "endtoend/test_failing_disk.py::test_what_waits_in_memory_for_a_collector_is_not_passed_over_on_disk",
            "bridge/test_kept.py::test_after_a_kill_in_the_middle_of_it_the_next_shipper_sends_what_was_not_delivered",
        ),
    ),
    Row(
        "torn tail, flipped bit, foreign file, newer version",
        "one record lost, the file set aside, never a crash; 512 MiB are opened in less than 3 s",
        (
            "journal/test_reader.py::test_a_torn_tail_costs_the_last_record_wherever_it_was_torn",
            "journal/test_reader.py::test_every_single_flipped_bit_costs_one_record_at_most",
            "journal/test_reader.py::test_ten_thousand_random_damages_never_raise",
            "journal/test_reader.py::test_a_stranger_is_left_alone_and_named",
            "journal/test_mutations.py::test_a_flipped_bit_costs_one_record_at_most",
            "journal/test_mutations.py::test_random_mutations_of_a_journal_crash_nobody",
            "journal/test_mutations.py::test_512_mib_are_opened_in_less_than_three_seconds",
            "journal/test_bound.py::test_a_foreign_or_newer_file_is_set_aside_when_nobody_writes_to_it",
            "bridge/metrics/test_state.py::test_a_damaged_file_is_set_aside_and_what_ended_before_is_not_counted_again",
        ),
    ),
    Row(
        "a kill in the middle of upkeep, 20,000 small segments",
        "nothing lost, nothing shown twice; few files are left",
        (
            "journal/test_compaction.py::test_a_kill_between_any_two_steps_loses_nothing_and_shows_nothing_twice",
            "journal/test_compaction.py::test_20_000_small_segments_become_few_files_and_no_record_is_lost",
            "bridge/test_directory.py::test_spans_are_byte_identical_from_a_pack",
        ),
    ),
    Row(
        "two shippers on one directory",
        "one sends; after its death the other takes over within 1 s (`python -m benchmarks takeover`)",
        (
            "faults/test_outages.py::test_two_shippers_on_one_spool_the_second_takes_over_when_the_first_is_killed",
            "endtoend/test_trouble_network.py::test_two_shippers_of_one_directory_never_send_two_versions_of_a_span",
            "endtoend/test_trouble_network.py::test_a_shipper_killed_in_the_middle_leaves_the_rest_to_the_next",
            "endtoend/test_grpc.py::test_when_the_shipper_is_killed_another_takes_the_directory_over",
        ),
    ),
    Row(
        "429 or 503 with Retry-After (0, a date, 3,600, garbage)",
        "waits, within 1 s and 15 min; nothing dropped",
        (
            "faults/test_retry_after.py::test_429_and_503_with_retry_after_are_waited_for_within_bounds_and_nothing_is_dropped",
            "faults/test_retry_after.py::test_a_backend_that_stays_busy_is_asked_ever_more_rarely",
            "bridge/test_http.py::test_retry_after_is_seconds_or_a_date_within_bounds",
            "bridge/test_http.py::test_any_retry_after_gives_a_bounded_wait_or_none",
            "bridge/test_grpc.py::test_retry_info_is_read_where_the_protocol_puts_it",
        ),
    ),
    Row(
        "4xx, a span that cannot be taken or encoded",
        "split until the bad span stands alone; it is kept as a dead letter, the rest is sent",
        (
            "faults/test_refused_items.py::test_4xx_is_bisected_to_the_bad_spans_and_the_rest_is_sent",
            "faults/test_refused_items.py::test_4xx_that_is_about_the_sender_and_not_the_spans_loses_none",
            "bridge/test_shipper.py::test_each_of_eight_poisons_arrives_over_http",
            "bridge/test_shipper.py::test_one_poison_item_costs_one_item_over_http",
            "bridge/test_shipper.py::test_one_poison_item_costs_one_item_over_grpc",
            "faults/test_poison_corpus.py::test_whatever_is_odd_but_valid_arrives_at_a_real_server",
            "faults/test_poison_corpus.py::test_what_is_broken_costs_itself_alone_at_a_real_server",
            "faults/test_poison_corpus.py::test_a_librarys_nan_does_not_make_its_trace_unreadable",
            "cli/test_refused.py::test_a_refused_span_is_kept_and_the_rest_arrives",
        ),
    ),
    Row(
        "413, gRPC's 4 MiB, one huge span",
        "split; a single span too large is trimmed, largest attributes first, and flagged",
        (
            "faults/test_refused_items.py::test_413_splits_until_it_fits",
            "faults/test_refused_items.py::test_413_for_one_huge_span_trims_it_and_flags_it",
            "bridge/test_shipper.py::test_a_span_too_large_for_the_backend_is_split_off_then_trimmed_then_given_up",
        ),
    ),
    Row(
        "partial success",
        "not sent again; rejected ones are counted and shown",
        (
            "faults/test_refused_items.py::test_partial_success_is_not_retried_and_is_shown",
            "bridge/test_shipper.py::test_partial_success_is_counted_and_not_sent_again",
        ),
    ),
    Row(
        "3xx, a captive portal's page, a wrong content type",
        "a failure, not a success",
        (
            "faults/test_strange_answers.py::test_what_is_no_answer_of_otlp_is_a_failure_and_loses_nothing",
            "faults/test_strange_answers.py::test_a_captive_portal_is_named_to_who_ships",
            "bridge/test_http.py::test_a_redirect_is_told_and_not_followed",
            "bridge/test_http.py::test_a_success_that_is_not_otlp_is_a_captive_portal",
        ),
    ),
    Row(
        "a hang, an answer that drips, an endless answer, a broken network",
        "the deadline holds; at most 4 MiB are read",
        (
            "faults/test_strange_answers.py::test_a_broken_network_is_a_failure_and_loses_nothing",
            "faults/test_strange_answers.py::test_a_response_bomb_costs_a_process_a_bounded_amount_of_memory",
            "bridge/test_http.py::test_a_host_that_never_answers_ends_at_the_deadline",
            "bridge/test_http.py::test_an_answer_that_drips_ends_at_the_deadline",
            "bridge/test_http.py::test_a_bomb_is_not_unpacked_into_memory",
            "bridge/test_http.py::test_an_endless_answer_is_read_up_to_the_cap",
            "bridge/test_grpc.py::test_a_peer_that_never_answers_ends_at_the_deadline",
            "bridge/test_grpc.py::test_a_response_bomb_is_cut_at_the_cap_and_blames_no_span",
        ),
    ),
    Row(
        "a broker is away",
        "the journal is the source, sent again after the gap",
        why_not="no transport over a broker is built yet",
    ),
    Row(
        "a broker delivers again, trims, loses its stream",
        "idempotent; a gap is seen",
        why_not="no transport over a broker is built yet; the numbers of a record's sequence are there for it",
    ),
    Row(
        "no such host, TLS expired, client certificate refused, proxy",
        "as down, with the reason in `status`",
        (
            "faults/test_outages.py::test_dns_failure_is_the_same_as_down_and_named",
            "bridge/test_http.py::test_an_unknown_host_is_unreachable",
            "bridge/test_tls.py::test_a_certificate_that_does_not_hold_is_told_apart_and_costs_no_span",
            "bridge/test_tls.py::test_a_client_certificate_that_is_missing_is_told_and_costs_no_span",
            "bridge/test_http.py::test_a_proxy_that_opens_no_tunnel_is_unreachable",
            "bridge/test_grpc.py::test_a_server_of_plain_http_is_named_as_the_reason",
            "cli/test_refused.py::test_status_says_why_spans_wait_and_when_that_is_over",
        ),
    ),
    Row(
        "exit while the collector is down or silent",
        "at most 0.3 s without progress (`python -m benchmarks exit`); the rest is shipped later",
        (
            "faults/test_outages.py::test_exit_while_down_leaves_the_remainder_to_the_next_process",
            "endtoend/test_trouble_network.py::test_a_dead_collector_costs_a_moment_and_one_line_whose_command_delivers_all",
            "endtoend/test_trouble_network.py::test_forking_beside_a_black_hole_is_not_slow",
            "endtoend/test_grpc.py::test_a_dead_collector_does_not_hold_up_the_end_over_grpc",
        ),
    ),
    Row(
        "the daemon that counts is killed between any two steps, restarted, told twice",
        "no counter falls or counts twice; an answer means that the numbers are on disk; Prometheus shows the truth",
        (
            "bridge/daemon/test_kills.py::test_no_counter_goes_down_or_counts_twice_when_the_daemon_is_killed_between_any_two_steps",
            "bridge/daemon/test_kills.py::test_the_same_run_through_journal_and_otlp_counts_once_though_the_daemon_is_killed_between",
            "bridge/daemon/test_http_server.py::test_an_answer_means_that_the_numbers_are_on_disk",
            "bridge/daemon/test_http_server.py::test_when_the_disk_takes_nothing_senders_are_told_to_come_again",
            "bridge/metrics/test_exactness.py::test_any_order_any_duplicates_and_any_kills_come_to_the_truth_and_no_value_ever_falls",
            "bridge/metrics/test_births.py::test_a_run_of_50_ms_between_two_scrapes_is_seen_at_0_and_then_at_1",
            "endtoend/test_truth_in_prometheus.py::test_run_counts_and_outcomes_equal_the_truth_through_a_kill_and_a_restart_of_the_bridge",
        ),
    ),
    Row(
        "a daemon that would send to itself, a loop through a collector",
        "refused at the start, or ends by itself",
        (
            "bridge/daemon/test_forward.py::test_a_daemon_that_would_send_to_itself_does_not_start",
            "bridge/daemon/test_forward.py::test_a_loop_through_somebody_who_drops_our_header_ends_by_itself",
            "bridge/daemon/test_collector.py::test_a_loop_through_a_real_collector_ends_by_itself",
        ),
    ),
)
