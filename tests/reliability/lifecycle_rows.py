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
        "stays open, shown as running",
        ("journal/test_liveness.py::test_a_stopped_writer_is_alive",),
    ),
    Row(
        "interrupted, then the real end arrives late",
        "before sending the real end wins; after it, one correction span with an id of its own",
        (
            "test_runs.py::test_a_real_end_beats_an_inferred_one_whenever_it_comes",
            "bridge/test_pump.py::test_an_id_sent_as_interrupted_is_never_sent_in_another_version",
        ),
    ),
    Row(
        "nested over threads, tasks, processes",
        "the parent is right",
        ("endtoend/test_nesting.py::test_phases_beyond_a_border_are_in_the_trace_under_the_right_parent",),
    ),
    Row(
        "end before start, end without start, two ends, two starts, duplicated, reordered",
        "byte-identical spans; a contradiction is kept",
        (
            "test_runs.py::test_any_permutation_duplication_and_split_gives_equal_runs_and_byte_identical_spans",
            "test_runs.py::test_an_end_without_a_start_is_a_phase_all_the_same",
            "test_runs.py::test_of_two_ends_the_earlier_counts_and_the_other_is_kept_as_a_contradiction",
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
        ),
        why_not="two hosts with skewed clocks: no namespace for clocks is to be had here",
    ),
    Row(
        "a process forks with an open phase",
        "one owner; the child's exit does not end it",
        (
            "journal/test_writer.py::test_a_child_that_exits_does_not_end_its_parent",
            "endtoend/test_trouble_lives.py::test_a_child_that_walks_out_of_a_block_does_not_end_its_parents_phase",
        ),
    ),
    Row(
        "ids collide",
        "every phase has 64 random bits of its own, a forked child too",
        ("endtoend/test_identity.py::test_phases_of_one_name_have_ids_of_their_own_and_none_is_lost",),
    ),
)
