"""Logging: two forms, one for our events and those of libraries."""

import io
import json
import logging as stdlib_logging
from collections.abc import Iterator

import pytest
import structlog

from livereel.observe import logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = stdlib_logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_holds_one_object_per_event() -> None:
    out = io.StringIO()
    logging.configure("info", "json", out)
    structlog.get_logger().info("task_started", task="t1", stream="a/b/c")
    structlog.get_logger().debug("not_logged")
    [event] = lines(out)
    assert event.pop("timestamp")
    assert event == {"event": "task_started", "level": "info", "task": "t1", "stream": "a/b/c"}


def test_a_worker_logs_as_its_server_does(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure("warning", "json", io.StringIO())
    arguments = ["worker.py", "something", *logging.worker_arguments()]
    logging.configure()
    logging.configure_worker(arguments)
    structlog.get_logger().info("not_logged")
    structlog.get_logger().warning("file_failed", task="t1")
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["level"], event["task"]) == ("file_failed", "warning", "t1")


def test_what_strangers_send_does_not_steer_the_terminal() -> None:
    out = io.StringIO()
    logging.configure("info", "console", out)
    structlog.get_logger().info("api_request", path="/\x1b[2J\r\n2026 forged", note="für alle")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue() and "\\x1b[2J" in out.getvalue()
    assert "für alle" in out.getvalue()


def test_libraries_take_the_same_form() -> None:
    out = io.StringIO()
    logging.configure("info", "json", out)
    stdlib_logging.getLogger("some.library").warning("odd %s", "thing")
    [event] = lines(out)
    assert (event["event"], event["level"], event["logger"]) == ("odd thing", "warning", "some.library")


def test_chatty_libraries_are_quiet() -> None:
    out = io.StringIO()
    logging.configure("debug", "json", out)
    stdlib_logging.getLogger("uvicorn.access").info("GET /")
    assert out.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_is_logged_with_its_traceback(form: logging.LogFormat) -> None:
    out = io.StringIO()
    logging.configure("info", form, out)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("worker_failed")
    assert "worker_failed" in out.getvalue()
    assert "ValueError" in out.getvalue()
    assert "broken" in out.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_hidden(form: logging.LogFormat) -> None:
    out = io.StringIO()
    logging.configure("info", form, out)
    structlog.get_logger().info("key_made", ak="AK1", secret="hunter2")
    assert "hunter2" not in out.getvalue()
    assert "AK1" in out.getvalue()
