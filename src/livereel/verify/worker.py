"""The worker process: one request after the other from stdin, progress and results on stdout. Started by the pool.

It may die of what it reads; then the pool knows which file that was.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import time
from typing import Any, BinaryIO, Final

import structlog

from livereel.observe.logging import configure_worker
from livereel.observe.processes import die_with_parent
from livereel.recorder.events import to_json
from livereel.verify.check import check
from livereel.verify.remake import CannotRemake, remake
from livereel.verify.request import CheckRequest, from_line

#: Address space, bytes: an 8K picture with its reference frames, the libraries, and some air. A file that wants more
#: costs this process, not the machine.
_MEMORY_MAX: Final = 3 << 30
#: Recording must not wait for what is recorded already.
_NICE: Final = 10
#: Seconds between signs of life.
_PROGRESS_EVERY: Final = 1.0


class _Voice:
    """Says how many bytes have been read, now and then."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._read = 0
        self._said_at = 0.0

    def __call__(self, count: int) -> None:
        self._read += count
        now = time.monotonic()
        if now - self._said_at >= _PROGRESS_EVERY:
            self._said_at = now
            self.say({"read": self._read})

    def say(self, value: dict[str, Any]) -> None:
        self._replies.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._replies.flush()


def main() -> None:
    """Entry point: `python -m livereel.verify.worker`. Ends when stdin is closed."""
    die_with_parent()
    # Ctrl-C and service managers signal the whole process group; when to end is the pool's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    configure_worker(sys.argv)
    with contextlib.suppress(BrokenPipeError):
        _Voice(sys.stdout.buffer).say({"read": 0})  # ready
    while line := sys.stdin.buffer.readline():
        if not line.endswith(b"\n"):
            return  # of a pool that is gone
        voice = _Voice(sys.stdout.buffer)
        try:
            voice.say(_answer(line, voice))
        except BrokenPipeError:
            return


def _answer(line: bytes, voice: _Voice) -> dict[str, Any]:
    request = from_line(line)
    if isinstance(request, CheckRequest):
        return {"verdict": check(request, voice).to_json()}
    try:
        with structlog.contextvars.bound_contextvars(**request.spec.about):
            return {"made": to_json(remake(request, voice))}
    except CannotRemake as error:
        return {"cannot": str(error)}
    except Exception as error:  # a full disk, a spool that another version wrote
        return {"cannot": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
