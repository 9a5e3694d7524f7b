"""Threads that share work which may hang, such as system calls on a disk that does not answer.

Work is cut into strands: what belongs to one strand is done in order, by one thread at a time, and different strands
by whichever thread is free. A thread that is stuck holds its own strand only, since the crew grows when others wait.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

import structlog

log = structlog.get_logger()

#: Seconds for which work may wait for a thread before the crew gets another one. Disks in good health answer in
#: milliseconds; more threads than needed only fight for the interpreter.
HELP_AFTER = 0.2
#: When so many system calls hang at once, it is the disk and not the files, and one more would hang too.
MOST_THREADS = 64
#: Seconds a thread beyond the usual number waits for work before it goes.
IDLE_SECONDS = 5.0


class Strand:
    """Has `turn` called soon after every `poke`, never twice at a time. `turn` must not raise."""

    def __init__(self, crew: "Crew", turn: Callable[[], None]) -> None:
        self._crew = crew
        self._turn = turn
        self._lock = threading.Lock()
        self._wanted = False
        self._busy = False

    def poke(self, *, urgent: bool = False) -> None:
        """Have a turn, after the one that is under way if there is one. From any thread; never blocks.

        `urgent`: somebody waits for it, so it comes before all that are not.
        """
        if self.want():
            self._crew.put((self,), urgent=urgent)

    def want(self) -> bool:
        """Like `poke`, but True if the caller has to hand the strand to the crew, with others perhaps."""
        with self._lock:
            self._wanted = True
            if self._busy:
                return False
            self._busy = True
            return True

    def run(self) -> None:
        """For the crew: take turns as long as they are wanted."""
        while True:
            with self._lock:
                if not self._wanted:
                    self._busy = False
                    return
                self._wanted = False
            try:
                self._turn()
            except Exception:  # a fault in one strand must not be the end of the others
                log.exception("spool_thread_failed")


class Crew:
    """`usual` threads, which are started when there is work for them, and more while some are stuck."""

    def __init__(self, name: str, usual: int, most: int = MOST_THREADS) -> None:
        self._name = name
        self._usual = usual
        self._most = most
        self._ready: deque[tuple[Strand, float]] = deque()
        self._urgent: deque[tuple[Strand, float]] = deque()
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """How many there are."""
        return len(self._threads)

    def put(self, strands: Iterable[Strand], *, urgent: bool = False) -> None:
        """Have strands run that said they want to. From any thread; never blocks."""
        now = time.monotonic()
        new = [(strand, now) for strand in strands]
        with self._changed:
            (self._urgent if urgent else self._ready).extend(new)
            self._changed.notify(min(len(new), self._usual))
            waiting = len(self._ready) + len(self._urgent)
            for _ in range(min(waiting - self._idle, self._usual - len(self._threads))):
                self._start()

    def help(self) -> bool:
        """Start another thread if work has waited too long; True while any work waits. Call it now and then."""
        with self._changed:
            since = [queue[0][1] for queue in (self._urgent, self._ready) if queue]
            if not since:
                return False
            waited = time.monotonic() - min(since)
            if waited > HELP_AFTER and not self._idle and len(self._threads) < self._most:
                self._start()
            return True

    def close(self, timeout: float) -> bool:
        """Let the threads end when all work is done; False if some are stuck still after `timeout` seconds.

        The crew may be used again afterwards.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._closed = False
        return not any(thread.is_alive() for thread in threads)

    def _start(self) -> None:
        # A daemon, so that a thread that is stuck in the kernel does not keep the process.
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self) -> None:
        while (strand := self._next()) is not None:
            strand.run()

    def _next(self) -> Strand | None:
        with self._changed:
            while not (self._ready or self._urgent):
                self._idle += 1
                spare = len(self._threads) > self._usual
                called = not self._closed and self._changed.wait(IDLE_SECONDS if spare else None)
                self._idle -= 1
                if not (self._ready or self._urgent) and (self._closed or (spare and not called)):
                    self._threads.discard(threading.current_thread())
                    return None
            return (self._urgent or self._ready).popleft()[0]
