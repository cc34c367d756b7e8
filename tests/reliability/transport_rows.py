"""What happens when the disk, the network or the collector fails."""

from tests.reliability.row import Row

__all__ = ("TRANSPORT",)

TRANSPORT = (
    Row(
        "the collector is down, away for a while, flapping",
        "0 lost within the bound, sent in order when it is back",
        ("endtoend/test_trouble_network.py::test_a_collector_that_goes_away_and_comes_back_gets_everything",),
    ),
    Row(
        "disk full, EIO, EROFS, EMFILE, quota",
        "the application is unharmed; counted; recovers by itself",
        (
            "journal/test_faults.py::test_a_full_disk_costs_records_that_are_counted_and_recovers_by_itself",
            "journal/test_faults.py::test_a_read_only_file_system_costs_every_record",
            "journal/test_faults.py::test_whichever_call_fails_nothing_is_raised_and_the_books_balance",
        ),
    ),
    Row(
        "torn tail, flipped bit, foreign file, newer version",
        "one record lost, the file set aside, never a crash",
        (
            "journal/test_reader.py::test_a_torn_tail_costs_the_last_record_wherever_it_was_torn",
            "journal/test_reader.py::test_every_single_flipped_bit_costs_one_record_at_most",
            "journal/test_reader.py::test_ten_thousand_random_damages_never_raise",
            "journal/test_reader.py::test_a_stranger_is_left_alone_and_named",
        ),
    ),
    Row(
        "two shippers on one directory",
        "one sends; after its death the other takes over",
        (
            "endtoend/test_trouble_network.py::test_two_shippers_of_one_directory_never_send_two_versions_of_a_span",
            "endtoend/test_trouble_network.py::test_a_shipper_killed_in_the_middle_leaves_the_rest_to_the_next",
        ),
    ),
    Row(
        "429 or 503 with Retry-After (0, a date, 3,600, garbage)",
        "waits, within 1 s and 15 min; nothing dropped",
        (
            "bridge/test_http.py::test_retry_after_is_seconds_or_a_date_within_bounds",
            "bridge/test_http.py::test_any_retry_after_gives_a_bounded_wait_or_none",
        ),
    ),
    Row(
        "4xx, a span that cannot be taken",
        "split until the bad span stands alone; the rest is sent",
        ("bridge/test_shipper.py::test_a_refused_batch_is_split_until_the_bad_span_stands_alone",),
    ),
    Row(
        "partial success",
        "not sent again; rejected ones are counted",
        ("bridge/test_shipper.py::test_partial_success_is_counted_and_not_sent_again",),
    ),
    Row(
        "3xx, a captive portal's page, a wrong content type",
        "a failure, not a success",
        (
            "bridge/test_http.py::test_a_redirect_is_told_and_not_followed",
            "bridge/test_http.py::test_a_success_that_is_not_otlp_is_a_captive_portal",
        ),
    ),
    Row(
        "a hang, an answer that drips, an endless answer",
        "the deadline holds; at most 4 MiB are read",
        (
            "bridge/test_http.py::test_a_host_that_never_answers_ends_at_the_deadline",
            "bridge/test_http.py::test_an_answer_that_drips_ends_at_the_deadline",
            "bridge/test_http.py::test_a_bomb_is_not_unpacked_into_memory",
            "bridge/test_http.py::test_an_endless_answer_is_read_up_to_the_cap",
        ),
    ),
    Row(
        "a broker is away, redelivers, trims",
        "the journal is the source; gaps are seen",
        why_not="no transport over a broker is built yet",
    ),
    Row(
        "no such host, TLS expired, client certificate refused, proxy",
        "as down, with the reason in `status`",
        (
            "bridge/test_http.py::test_an_unknown_host_is_unreachable",
            "bridge/test_http.py::test_a_certificate_of_nobody_is_unreachable",
            "bridge/test_http.py::test_a_proxy_that_opens_no_tunnel_is_unreachable",
        ),
    ),
    Row(
        "exit while the collector is down or silent",
        "at most 0.3 s without progress; the rest is shipped later",
        (
            "endtoend/test_trouble_network.py::test_a_dead_collector_costs_a_moment_and_one_line_whose_command_delivers_all",
            "endtoend/test_trouble_network.py::test_forking_beside_a_black_hole_is_not_slow",
        ),
    ),
)
