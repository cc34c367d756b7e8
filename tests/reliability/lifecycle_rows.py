"""What happens to a phase when its process, its clock or its order of events goes wrong."""

from tests.reliability.row import Row

__all__ = ("LIFECYCLE",)

LIFECYCLE = (
    Row(
        "SIGKILL: a phase never finished",
        "closed as interrupted at its last sign of life, flagged as estimated (1,000 kills by `OW_TEST_KILLS=1000`)",
        (
            "endtoend/test_thousand_kills.py::test_all_that_three_killed_processes_had_begun_is_sent_once",
            "endtoend/test_ten_deaths.py::test_all_that_was_finished_and_open_arrives_after_a_death",
            "endtoend/test_ten_deaths.py::test_the_duration_of_a_phase_that_was_killed_in_silence_is_right",
        ),
    ),
    Row(
        "the owner is alive but stopped",
        "stays open, shown as running with its age; not closed twice",
        (
            "bridge/test_stopped_owner.py::test_owner_alive_but_stuck_stays_open_for_a_minute_of_sigstop_and_is_not_closed_twice",
            "bridge/test_directory.py::test_a_stopped_process_of_ours_is_not_lost_however_long_it_is_silent",
            "journal/test_liveness.py::test_a_stopped_writer_is_alive",
            "report/test_waterfall.py::test_a_running_phase_is_shown_with_its_age_and_how_far_it_is",
        ),
    ),
    Row(
        "interrupted, then the real end arrives late",
        "before sending the real end wins; after it, one correction span with an id of its own",
        (
            "test_runs.py::test_a_real_end_beats_an_inferred_one_whenever_it_comes",
            "bridge/test_pump.py::test_interrupted_then_a_real_end_arrives_late_and_corrects_the_span_that_was_sent",
            "bridge/test_byte_identity.py::test_late_in_any_steps_with_restarts_between_no_id_is_sent_in_two_versions",
            "endtoend/test_corrections.py::test_interrupted_then_a_real_end_arrives_late_and_jaeger_shows_both_without_a_warning",
            "bridge/daemon/test_intake.py::test_a_real_end_after_it_was_counted_is_a_late_verdict_and_counts_once",
        ),
    ),
    Row(
        "nested over threads, tasks, processes",
        "the parent is right",
        ("endtoend/test_nesting.py::test_phases_beyond_a_border_are_in_the_trace_under_the_right_parent",),
    ),
    Row(
        "end before start, end without start, two ends, two starts, retries",
        "one span all the same, byte-identical; a contradiction is kept; attempts are spans of their own",
        (
            "bridge/test_pump.py::test_end_before_start_end_without_start_two_starts_are_one_span_all_the_same",
            "bridge/test_pump.py::test_two_ends_are_one_span_that_says_what_contradicts_it",
            "engines/test_published_structure.py::test_what_failed_and_begins_again_in_the_same_place_is_another_attempt",
            "test_runs.py::test_an_end_without_a_start_is_a_phase_all_the_same",
            "test_runs.py::test_of_two_ends_the_earlier_counts_and_the_other_is_kept_as_a_contradiction",
        ),
    ),
    Row(
        "events duplicated, reordered, split over files, late by days",
        "byte-identical spans, every id once; what is late beyond eight days is counted as dropped, not twice",
        (
            "test_runs.py::test_any_permutation_duplication_and_split_gives_equal_runs_and_byte_identical_spans",
            "bridge/test_byte_identity.py::test_permuted_repeated_and_split_over_segments_gives_the_same_bytes_and_every_id_once",
            "bridge/test_pump.py::test_keys_of_what_was_sent_are_forgotten_after_eight_days_unless_they_are_asked_for",
            "bridge/metrics/test_state.py::test_keys_are_forgotten_after_eight_days_and_what_comes_then_is_dropped_not_counted_twice",
            "endtoend/test_identity.py::test_three_ways_lead_to_one_span_per_id_in_jaeger",
        ),
    ),
    Row(
        "a run without a sign of life",
        "closed as lost after `OW_RUN_TTL`, a remote one after `--lost-after`; a real end takes it back",
        (
            "bridge/test_directory.py::test_a_run_without_evidence_for_its_ttl_is_lost",
            "bridge/daemon/test_intake.py::test_a_run_that_is_silent_is_shown_as_lost_and_counted_after_the_grace",
            "bridge/daemon/test_intake.py::test_a_real_end_within_the_grace_wins",
            "bridge/daemon/test_lost_runs.py::test_a_run_that_lives_is_not_lost_and_one_that_is_killed_is",
            "bridge/daemon/test_lost_runs.py::test_a_machine_that_was_suspended_comes_back_to_life",
            "runtime/test_heartbeat.py::test_logs_that_hang_hold_up_neither_the_spans_nor_the_end",
        ),
    ),
    Row(
        "a run resumed on another host",
        "same derived run id, no orphan root",
        why_not="no producer derives ids yet; comes with the id contracts of CI runs and engines",
    ),
    Row(
        "clock steps, suspend",
        "durations monotonic, never negative",
        (
            "test_clock.py::test_durations_are_never_negative_however_the_wall_clock_is_stepped",
            "test_runs.py::test_times_never_run_backwards",
            "bridge/test_pump.py::test_clock_steps_make_no_negative_duration",
            "report/test_waterfall.py::test_a_clock_behind_the_run_does_not_make_negative_ages",
            "cli/test_journal_files.py::test_a_step_of_the_wall_clock_is_recorded_once_and_changes_no_duration",
        ),
        why_not="two hosts with skewed clocks: no namespace for clocks is to be had here",
    ),
    Row(
        "more than 128 events in one phase",
        "a span shows the first and the last of 10,000 and counts the rest; the phase and its neighbours arrive whole",
        ("endtoend/test_many_events.py::test_more_than_128_events_per_phase_are_bounded_on_the_span_and_counted",),
        why_not="events as log records: not built; reports of progress are all in the journal, other events are not",
    ),
    Row(
        "a process forks with an open phase",
        "one owner; the child's exit does not end it",
        (
            "journal/test_writer.py::test_a_child_that_exits_does_not_end_its_parent",
            "endtoend/test_trouble_lives.py::test_a_forked_childs_own_phases_arrive_after_it_left_its_parents_block",
            "endtoend/test_trouble_lives.py::test_a_child_that_walks_out_of_a_block_does_not_end_its_parents_phase",
        ),
    ),
    Row(
        "ids collide",
        "every phase has 64 random bits of its own, a forked child too",
        ("endtoend/test_identity.py::test_phases_of_one_name_have_ids_of_their_own_and_none_is_lost",),
    ),
)
