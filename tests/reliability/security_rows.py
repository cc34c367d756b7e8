"""What happens when somebody wants to read, flood or break what we keep."""

from tests.reliability.row import Row

__all__ = ("SECURITY",)

SECURITY = (
    Row(
        "secrets in attributes, environment, exception text, URLs, logs",
        "masked by value and by shape before the journal's write; 0 of 500 canaries in any sink; linear time",
        (
            "masking/test_canaries.py::test_none_of_500_canaries_is_found_in_any_sink",
            "masking/test_canaries.py::test_without_masking_every_canary_is_seen",
            "masking/test_known.py::test_a_secret_is_found_in_every_form_that_tools_print",
            "masking/test_logs.py::test_a_log_line_is_masked_with_its_traceback",
            "masking/test_shapes.py::test_the_worst_text_of_30_kib_costs_no_more_than_in_proportion_to_its_length",
        ),
        why_not="argv and log tails: nothing records them yet; the command wrapper is not built",
    ),
    Row(
        "a cardinality bomb: phase names with ids in them",
        "an overflow series and reserved room for declared phases; memory stays flat",
        (
            "bridge/metrics/test_limits.py::test_a_cardinality_bomb_leaves_memory_flat_and_a_declared_phase_visible",
            "bridge/metrics/test_limits.py::test_a_million_names_are_told_from_those_met_before_in_bounded_memory",
            "bridge/metrics/test_limits.py::test_more_names_than_a_pipeline_may_have_are_counted_in_its_overflow",
        ),
    ),
    Row(
        "an untrusted TRACEPARENT, TRACESTATE or baggage",
        "parsed strictly (50,000 mutations) or ignored, never repeated in a log; baggage is not taken up",
        (
            "instrumentation/test_environment.py::test_untrusted_traceparent_50_000_mutations_parse_without_exception_and_are_not_repeated_in_a_log",
            "instrumentation/test_environment.py::test_a_malformed_parent_is_no_parent",
            "instrumentation/test_environment.py::test_a_tracestate_of_a_mebibyte_costs_little",
            "instrumentation/test_environment.py::test_baggage_from_the_environment_is_never_taken_up",
        ),
        why_not="a fork's pull request is not told apart: that is the command wrapper's, not built yet",
    ),
    Row(
        "a WebSocket hijacked from a browser, DNS rebinding, a slow WebSocket consumer",
        "refused; bounded for each client",
        why_not="no live server is built yet",
    ),
    Row(
        "ingest: size, rate, a zip bomb, a sender who drips, a stranger without a token",
        "413 beyond 4 MiB on the wire or 16 MiB decoded, ratio at most 100; connections and memory bounded",
        (
            "bridge/daemon/test_http_server.py::test_ingest_size_a_body_beyond_4_mib_is_refused",
            "bridge/daemon/test_http_server.py::test_ingest_size_more_than_16_mib_decoded_is_refused",
            "bridge/daemon/test_http_server.py::test_zip_bomb_is_refused_and_costs_no_memory",
            "bridge/daemon/test_http_server.py::test_a_sender_who_drips_its_headers_is_cut_off",
            "bridge/daemon/test_http_server.py::test_connections_beyond_the_cap_are_closed_and_the_others_go_on",
            "bridge/daemon/test_http_server.py::test_with_a_token_only_who_has_it_may_send",
            "bridge/daemon/test_grpc_server.py::test_ingest_size_a_message_beyond_4_mib_is_refused_compressed_or_not",
            "bridge/daemon/test_grpc_server.py::test_zip_bomb_over_grpc_costs_no_memory",
            "bridge/daemon/test_ingest.py::test_all_connections_together_hold_no_more_than_their_budget",
            "bridge/daemon/test_heard.py::test_any_bytes_are_read_or_refused_with_a_value_error",
            "bridge/daemon/test_plan.py::test_beyond_loopback_a_token_is_wanted",
        ),
    ),
    Row("JUnit XML entities, YAML aliases", "refused or bounded", why_not="no importer is built yet"),
    Row(
        "path traversal, a symbolic link in journal, cursor, lock or dead letters",
        "not followed; names come from ids of ours; a stranger's file is left alone and set aside",
        (
            "journal/test_faults.py::test_a_directory_that_is_exchanged_for_a_link_is_not_followed",
            "journal/test_reader.py::test_directories_links_and_pipes_by_that_name_are_strangers",
            "journal/test_spring.py::test_links_pipes_and_directories_by_that_name_are_strangers",
            "journal/test_cursor.py::test_a_lock_that_is_a_link_is_not_followed",
            "journal/test_dead_letters.py::test_no_link_is_followed",
            "journal/test_place.py::test_every_project_has_a_name_of_its_own_that_any_file_system_takes",
            "journal/test_place.py::test_a_link_given_outright_is_refused",
        ),
        why_not="zip-slip: nothing unpacks an archive",
    ),
    Row(
        "a project's own file in a fork's pull request",
        "may set no path and no address; not waited for, not believed",
        (
            "cli/test_project.py::test_it_may_set_neither_paths_nor_addresses",
            "cli/test_project.py::test_what_cannot_be_used_is_one_line",
            "cli/test_project.py::test_the_library_never_reads_it",
        ),
    ),
    Row(
        "terminal and log injection by names of phases, a backend's answers, paths",
        "control characters are escaped in report, runs, status, ship, doctor, journal and the timeline",
        (
            "cli/test_manners.py::test_hostile_names_never_reach_the_terminal_as_commands",
            "cli/test_manners.py::test_a_hostile_backend_cannot_reach_the_terminal_either",
            "cli/test_manners.py::test_a_hostile_path_of_a_journal_is_shown_escaped",
            "report/test_waterfall.py::test_names_and_reasons_cannot_reach_the_terminal_as_commands",
            "bus/test_timeline.py::test_a_line_has_the_form_of_the_seed_page",
            "bridge/metrics/test_pages.py::test_values_that_would_break_a_line_are_escaped",
        ),
        why_not="HTML and Markdown reports are not built yet",
    ),
    Row(
        "an address with a password in a message",
        "neither user information nor query is shown",
        (
            "bridge/test_http.py::test_the_key_tells_destinations_apart_and_nothing_shows_a_secret",
            "bridge/test_http.py::test_a_setting_that_cannot_be_used_is_an_error_without_the_secret",
            "bridge/test_destination.py::test_a_header_that_grpc_cannot_carry_is_an_error_without_the_secret",
            "cli/test_manners.py::test_a_hostile_path_of_a_journal_is_shown_escaped",
        ),
    ),
    Row("NATS or Redis without authentication", "refused beyond loopback", why_not="no transport over a broker yet"),
    Row(
        "TLS and mutual TLS",
        "verified, 1.2 at least, certificate files are read again when they change",
        (
            "bridge/test_tls.py::test_a_certificate_that_does_not_hold_is_told_apart_and_costs_no_span",
            "bridge/test_tls.py::test_mutual_tls_takes_the_client_certificate",
            "bridge/test_tls.py::test_tls_below_1_2_is_not_spoken",
            "bridge/test_tls.py::test_certificate_files_are_read_again_when_they_have_changed",
            "bridge/test_tls.py::test_trust_that_was_withdrawn_counts_from_the_next_connection_on",
            "endtoend/test_grpc.py::test_the_collector_takes_everything_over_mutual_tls",
            "bridge/daemon/test_tls_listeners.py::test_a_client_without_a_certificate_is_refused_where_one_is_wanted",
            "bridge/daemon/test_tls_listeners.py::test_a_renewed_certificate_is_shown_to_the_next_client",
            "bridge/daemon/test_tls_listeners.py::test_a_renewal_that_cannot_be_used_leaves_the_certificate_in_force_and_is_told",
            "bridge/daemon/test_tls_listeners.py::test_tls_below_1_2_is_not_spoken_by_the_daemon",
            "bridge/daemon/test_tls_listeners.py::test_files_that_cannot_be_used_are_named_with_the_reason",
        ),
    ),
    Row(
        "the journal, dead letters and the bridge's state at rest",
        "0600 in 0700, no stranger's directory",
        (
            "journal/test_writer.py::test_files_are_private_and_so_is_the_directory",
            "journal/test_dead_letters.py::test_spool_at_rest_is_private",
            "bridge/metrics/test_state.py::test_the_file_is_private",
            "journal/test_faults.py::test_a_directory_of_another_user_or_without_the_right_to_write_is_refused",
        ),
    ),
    Row(
        "supply chain",
        "hashed requirements, few dependencies",
        why_not="held by `requirements/*.txt` with hashes, not by a test of behaviour",
    ),
    Row("plugin entry points", "listed, and chosen by name", why_not="there are no plugins"),
)
