"""Logging of a process: one line per event on standard error, for people (`console`) or machines (`json`).

Our own events come through structlog (`log = structlog.get_logger(); log.info("task_started", task=...)`); what
libraries say through the standard library's `logging` takes the same form. Call `configure` once, at the top of a
process.
"""

import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, TextIO, cast

import structlog

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

#: Members that never reach a log, whoever passes them by mistake.
SECRETS = frozenset({"secret", "password", "token", "authorization", "auth_sign", "auth_sign_key", "sk"})

#: Libraries that say too much at `info`: uvicorn repeats each request (the API logs its own), Alembic each step.
_QUIET = ("uvicorn.access", "uvicorn.error", "alembic", "sqlalchemy", "aiohttp")


_FORM_ARGUMENTS = 2
_TRACEBACK_MEMBERS = frozenset({"exception", "stack"})  # lines of our own
_chosen: tuple[LogLevel, LogFormat] = ("info", "console")

#: Without local variables: they may hold a secret key.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure(level: LogLevel = "info", form: LogFormat = "console", stream: TextIO | None = None) -> None:
    """Send this process's log to `stream` (default: standard error) from `level` up. Calling it again replaces it."""
    global _chosen  # noqa: PLW0603  a process has one log
    _chosen = level, form
    out = stream if stream is not None else sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    rendering = _rendering(form, colours=out.isatty())
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def worker_arguments() -> list[str]:
    """The last arguments of a worker process: it logs as this process does, to the same standard error."""
    return list(_chosen)


def configure_worker(arguments: Sequence[str]) -> None:
    """Configure a worker process by its `arguments`, which end with `worker_arguments`."""
    level, form = arguments[-_FORM_ARGUMENTS:]
    configure(cast(LogLevel, level), cast(LogFormat, form))


def _rendering(form: LogFormat, *, colours: bool) -> list[structlog.typing.Processor]:
    if form == "json":
        return [_TRACEBACKS, structlog.processors.JSONRenderer()]
    return [
        _escape_controls,
        structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
    ]


def _escape_controls(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Strangers choose some of what is logged, such as paths: it must not steer the terminal of who reads the log."""
    for name, value in event.items():
        if isinstance(value, str) and name not in _TRACEBACK_MEMBERS and not value.isprintable():
            event[name] = value.encode("unicode_escape").decode("ascii")
    return event


def _hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in SECRETS.intersection(event):
        event[name] = "***"
    return event
