"""What happens to a publisher beside handlers that misbehave, and in odd places."""

from tests.reliability.row import Row

__all__ = ("PUBLISHER",)

PUBLISHER = (
    Row(
        "a handler raises",
        "isolated, counted, retried, then dead-lettered; others unaffected",
        (
            "bus/test_workflow_bus.py::test_a_dead_letter_handler_gets_what_failed_for_good",
            "bus/test_guard.py::test_a_failing_handler_does_not_stop_the_others",
            "bus/test_stateful.py::test_any_order_of_operations_loses_nothing",
        ),
    ),
    Row(
        "a handler raises CancelledError by itself",
        "a failed result, not a success, not handed on",
        ("bus/test_guard.py::test_a_handler_that_is_cancelled_is_a_failed_result",),
    ),
    Row(
        "a handler hangs or is slow",
        "timed out, abandoned after a grace; the publisher is not delayed",
        (
            "bus/test_guard.py::test_a_hanging_handler_is_timed_out",
            "bus/test_guard.py::test_a_hanging_handler_holds_up_no_other",
            "bus/test_guard.py::test_a_handler_that_resists_its_cancellation_is_abandoned",
            "bus/test_guard.py::test_a_slow_handler_does_not_delay_the_publisher",
            "bus/test_guard.py::test_after_four_hanging_threads_nothing_more_is_begun_until_one_returns",
        ),
    ),
    Row(
        "a sync handler blocks",
        "it runs in a thread, the loop goes on",
        ("bus/test_workflow_bus.py::test_a_sync_handler_never_blocks_the_loop",),
    ),
    Row(
        "a handler publishes, events in a circle",
        "ends at the depth limit, counted",
        (
            "bus/test_guard.py::test_republishing_in_a_cycle_ends_at_the_depth_limit_and_is_counted",
            "bus/test_guard.py::test_a_cycle_of_awaited_publications_ends_too",
        ),
    ),
    Row(
        "a queue is full",
        "drop oldest, drop newest, or wait, as agreed; counted",
        (
            "bus/test_mailbox.py::test_a_full_queue_drops_as_agreed",
            "bus/test_mailbox.py::test_a_queue_is_bounded_in_bytes",
            "bus/test_workflow_bus.py::test_block_makes_the_awaiting_publisher_wait_for_room",
        ),
    ),
    Row(
        "two event loops, no loop, a thread publishes",
        "works",
        (
            "bus/test_asyncio_home.py::test_three_loops_and_three_threads_at_once",
            "bus/test_lifecycle.py::test_a_sync_handler_needs_no_asyncio",
        ),
    ),
    Row(
        "the publisher is cancelled midway",
        "handlers go on; a cancelled phase has start and end, outcome cancellation",
        (
            "bus/test_workflow_bus.py::test_a_cancelled_publisher_does_not_stop_the_handlers",
            "instrumentation/test_verdicts.py::test_a_cancelled_asyncio_task_is_cancelled_not_failed",
            "instrumentation/test_verdicts.py::test_a_cancelled_trio_scope_is_cancelled_not_failed",
            "instrumentation/test_interruptions.py::test_an_interrupt_at_any_line_leaves_no_phase_without_an_end",
        ),
    ),
    Row(
        "GeneratorExit, break out of an async generator, a generator never closed",
        "the end is recorded at the close; never a wrong parent for later phases",
        (
            "instrumentation/test_verdicts.py::test_a_closed_generator_is_cancelled",
            "instrumentation/test_decorators.py::test_an_async_generator_is_current_only_while_it_runs",
            "instrumentation/test_decorators.py::test_leaving_an_async_generator_early_never_adopts_later_phases",
        ),
    ),
    Row(
        "a signal during publish, publishing in `__del__`",
        "no deadlock (1 kHz; 60 s for each of three bodies by `OW_TEST_SIGNAL_SECONDS=180`)",
        (
            "bus/test_lifecycle.py::test_publishing_from_a_signal_handler_at_1_khz_never_deadlocks",
            "bus/test_lifecycle.py::test_publishing_from_del_in_the_garbage_collector_never_deadlocks",
            "journal/test_writer.py::test_a_signal_handler_writes_a_thousand_times_a_second_and_nothing_stops",
        ),
    ),
    Row(
        "the interpreter shuts down",
        "the journal still takes records; nothing raises",
        (
            "journal/test_writer.py::test_records_written_while_the_interpreter_goes_down_are_kept",
            "bus/test_lifecycle.py::test_publishing_first_at_exit_when_no_thread_can_start_never_raises",
        ),
    ),
    Row(
        "a hostile payload",
        "never raises, bounded, a visible mark where it was cut",
        (
            "test_values.py::test_any_hostile_value_becomes_a_clean_one_in_little_time",
            "endtoend/test_trouble.py::test_hostile_values_never_raise_and_cost_no_other_phase",
        ),
    ),
)
