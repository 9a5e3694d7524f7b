"""Threads of one bucket: a directory that hangs (a network file system whose server is away) holds up no others.

asyncio's default threads serve the server's own disk. A call into a file system that hangs cannot be cancelled, so the
threads are daemons: they never keep the process from ending.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from livereel.domain.errors import StoreError

T = TypeVar("T")

#: Calls of one bucket at once. File systems gain little from more, and a hung one ties up no more than these.
BUCKET_THREADS = 4
#: Calls that may wait for a thread; then the bucket refuses, and whoever wanted to store something tries again. Every
#: task has one call at a time, so that this is more tasks than a node has, and less memory than one slice.
WAITING_MAX = 2000
#: Seconds for a call that somebody waits for and that moves no file (stat, open, free space). Healthy file systems
#: take milliseconds; a restarted NFS server is back within this time or is away.
LOOKUP_TIMEOUT = 15.0
_IDLE = 10.0  # seconds after which a thread without work ends; buckets may be many and quiet


class BucketThreads:
    """Runs blocking calls on at most BUCKET_THREADS threads. Belongs to one event loop at a time."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._open = 0  # jobs that are not done

    async def run(
        self,
        call: Callable[..., T],
        *arguments: Any,
        timeout: float | None = None,
        abandoned: Callable[[T], object] | None = None,
        ended: Callable[[], object] = lambda: None,
    ) -> T:
        """The result of `call`, or its exception. Raises StoreError when too many wait or `timeout` has passed.

        A call that nobody waits for any more is left out, or runs to its end; `abandoned` takes the result then.
        `ended` is called in any case, on whatever thread, when the call is over or will not be made.
        """
        job = _Job(asyncio.get_running_loop(), call, arguments, abandoned, ended)
        with self._lock:
            if self._open >= BUCKET_THREADS + WAITING_MAX:
                ended()
                raise StoreError(f"bucket {self._bucket} does not answer: {self._open} operations wait for it")
            self._open += 1
            start = self._threads < min(BUCKET_THREADS, self._open)
            self._threads += start
            self._jobs.put(job)  # under the lock: a thread that is about to end must see it
        if start:
            threading.Thread(target=self._work, name=f"bucket-{self._bucket}", daemon=True).start()
        try:
            async with asyncio.timeout(timeout) as limit:
                result: T = await job.done
        except TimeoutError:
            if not limit.expired():  # of the call itself
                raise
            if job.expired:
                raise StoreError(f"bucket {self._bucket} has not answered for {timeout:g} s") from None
            result = job.done.result()  # it was done at that very moment
        except asyncio.CancelledError:
            job.leave()
            raise
        return result

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if not self._jobs.empty():
                        continue
                    self._threads -= 1
                    return
            job.run()
            with self._lock:
                self._open -= 1


class _Job:
    """One call: made on a thread, waited for on the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        abandoned: Callable[[Any], object] | None,
        ended: Callable[[], object],
    ) -> None:
        self.done: asyncio.Future[Any] = loop.create_future()
        self._loop = loop
        self._call = call
        self._arguments = arguments
        self._abandoned = abandoned
        self._ended = ended

    @property
    def expired(self) -> bool:
        """Whether nobody waits any more."""
        return self.done.cancelled()

    def leave(self) -> None:
        """Nobody takes the result, also if it came at that very moment."""
        if self.done.done() and not self.done.cancelled() and self.done.exception() is None:
            self._leave(self.done.result(), None)

    def run(self) -> None:
        """On the thread."""
        try:
            if not self.done.cancelled():
                self._run()
        finally:
            self._ended()

    def _run(self) -> None:
        result, error = None, None
        try:
            result = self._call(*self._arguments)
        except BaseException as raised:  # whatever it is belongs to the caller; the thread goes on
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            self._leave(result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.done.cancelled():
            self._leave(result, error)
        elif error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(result)

    def _leave(self, result: Any, error: BaseException | None) -> None:
        if error is None and self._abandoned is not None:
            self._abandoned(result)
