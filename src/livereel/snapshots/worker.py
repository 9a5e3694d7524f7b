"""The worker process: takes one picture after the other from stdin, answers on stdout. Started by the pool.

It may die of what it is given; then only that picture is lost.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from typing import BinaryIO

from livereel.observe.processes import die_with_parent
from livereel.snapshots.decode import CannotPicture, jpeg
from livereel.snapshots.wire import LENGTH, message, take_request

#: Address space, bytes: an 8K picture with a full set of reference frames, the libraries, and some air. A stream that
#: wants more costs this process, not the machine.
_MEMORY_MAX = 3 << 30
_NICE = 10  # a late picture harms nobody


def main() -> None:
    """Entry point: `python -m livereel.snapshots.worker`. Ends when stdin is closed."""
    die_with_parent()
    # Ctrl-C and service managers signal the whole process group; when to end is the pool's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    # A request that is cut short is one of a pool that is gone.
    while len(length := requests.read(LENGTH.size)) == LENGTH.size:
        [size] = LENGTH.unpack(length)
        if len(head := requests.read(size)) < size:
            return
        try:
            replies.write(_answer(json.loads(head), requests))
            replies.flush()
        except BrokenPipeError:
            return


def _answer(head: dict[str, object], requests: BinaryIO) -> bytes:
    sizes = head["sizes"]
    assert isinstance(sizes, list)
    picture = take_request(head, [requests.read(size) for size in sizes])
    try:
        made = jpeg(picture)
    except CannotPicture as error:
        return message({"error": str(error)})
    return message({"width": made.width, "height": made.height, "size": len(made.data)}, made.data)


if __name__ == "__main__":
    main()
