"""Our own log lines carry no secret either: not in the message, not in an argument, not in a traceback."""

import io
import logging

import pytest

from otel_workflow.masking import mask, mask_logs


@pytest.mark.parametrize("name", ["otel_workflow", "otel_workflow.bus", "otel_workflow.timeline"])
def test_a_log_line_is_masked_with_its_traceback(name: str) -> None:
    mask("hunter2-hunter2")
    mask_logs()
    mask_logs()
    logger, stream = logging.getLogger(name), io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        raise ValueError("it was hunter2-hunter2")
    except ValueError as error:
        logger.warning("a handler said %s", "hunter2-hunter2", exc_info=error)
    finally:
        logger.removeHandler(handler)

    said = stream.getvalue()
    assert "a handler said ***" in said
    assert "ValueError: it was ***" in said
    assert "hunter2" not in said


def test_a_line_without_a_secret_keeps_its_arguments_and_its_exception(caplog: pytest.LogCaptureFixture) -> None:
    mask_logs()
    error = ValueError("no")
    logging.getLogger("otel_workflow").warning("lost %s", "x", exc_info=error)

    [record] = caplog.records
    assert ("lost %s", ("x",), error) == (record.msg, record.args, record.exc_info and record.exc_info[1])
