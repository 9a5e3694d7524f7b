"""Keeps verification workers and gives each one request at a time. Never imports libav.

A worker that dies, or says nothing for a while, is killed, and its file is given to a new one: TRIES times in all.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from livereel.domain.errors import LivereelError
from livereel.domain.recordings import SpoolPosition
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification, VerifyLevel
from livereel.observe import children, metrics
from livereel.observe.logging import worker_arguments
from livereel.recorder.events import FileFinished, TaskSpec, from_json
from livereel.verify.request import Account, CheckRequest, RemakeRequest, to_line

log = structlog.get_logger()

#: A file that kills its worker this often would do it again.
TRIES: Final = 3
#: Seconds without a sign of life. A worker speaks every second while it reads; one that is stuck in a read of a disk
#: that hangs must be given longer than the disk mostly takes.
HANG_TIMEOUT: Final = 120.0
#: Seconds until a new worker is ready. Its libraries take half of one on an idle machine.
START_TIMEOUT: Final = 60.0
STOP_GRACE: Final = 2.0  # seconds
_START_RETRY_FIRST, _START_RETRY_LONGEST = 1.0, 30.0  # seconds; too many processes, or no memory
#: An answer can be large: a file that was made again lists its slices, 21 600 at most, 200 bytes each.
_MAX_LINE: Final = 64 * 1024 * 1024

_DIED: Final = Verdict(
    Verification.DAMAGED, (Damage(DamageReason.VERIFIER_DIED, f"the verifier died on it {TRIES} times"),)
)


class CannotRemake(LivereelError):
    """The file cannot be made from the spool again; `detail` says why."""


class VerifyPool:
    """At most `workers` processes, each with one file at a time; further files wait."""

    def __init__(self, workers: int, level: VerifyLevel, *, hang_timeout: float = HANG_TIMEOUT) -> None:
        self.level = level
        self._hang_timeout = hang_timeout
        self._places = asyncio.Semaphore(workers)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._reading: set[asyncio.subprocess.Process] = set()
        self._warming: asyncio.Task[None] | None = None

    def warm(self) -> None:
        """Have a worker started, so that the first file need not wait for that. Does nothing once there is one."""
        if not self._all and self._warming is None:
            self._warming = asyncio.create_task(self._warm())

    async def check(
        self,
        path: Path,
        account: Account,
        *,
        level: VerifyLevel | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Verdict:
        """The verdict on a file. `progress` hears now and then how many bytes of it have been read."""
        answer = await self._ask(CheckRequest(path, account, level or self.level), progress)
        return _DIED if answer is None else Verdict.from_json(answer["verdict"])

    async def remake(self, spec: TaskSpec, job_id: str, end: SpoolPosition) -> FileFinished:
        """Make one file from its spool again, in the work directory of `spec`. Raises CannotRemake."""
        answer = await self._ask(RemakeRequest(spec, job_id, end), None)
        if answer is None:
            raise CannotRemake(f"the worker died on it {TRIES} times")
        if "cannot" in answer:
            raise CannotRemake(answer["cannot"])
        event = from_json(answer["made"])
        assert isinstance(event, FileFinished)
        return event

    def processes(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [process.pid for process in self._all]

    def reading(self) -> list[int]:
        """Process ids of those that are busy with a file."""
        return [process.pid for process in self._reading]

    async def stop(self) -> None:
        """End the workers; nobody may be waiting for a verdict any more."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        processes, self._all = self._all, set()
        self._idle.clear()
        await children.dismiss(processes, STOP_GRACE)

    async def _warm(self) -> None:
        with contextlib.suppress(OSError):
            self._idle.append(await self._start())

    async def _ask(
        self, request: CheckRequest | RemakeRequest, progress: Callable[[int], None] | None
    ) -> dict[str, Any] | None:
        """The answer, or None when each worker died or hung."""
        async with self._places:
            for _ in range(TRIES):
                process = await self._take()
                try:
                    self._reading.add(process)
                    answer = await self._converse(process, request, progress)
                except (OSError, EOFError, ValueError, TimeoutError) as error:
                    await self._end(process)
                    metrics.worker_restarts.inc()
                    log.warning("verify_worker_died", code=process.returncode, reason=type(error).__name__)
                except BaseException:
                    await self._end(process)  # what it would still say is nobody's
                    raise
                else:
                    self._idle.append(process)
                    return answer
                finally:
                    self._reading.discard(process)
        return None

    async def _converse(
        self,
        process: asyncio.subprocess.Process,
        request: CheckRequest | RemakeRequest,
        progress: Callable[[int], None] | None,
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(to_line(request))
        async with asyncio.timeout(self._hang_timeout):
            await process.stdin.drain()
        while True:
            async with asyncio.timeout(self._hang_timeout):
                line = await process.stdout.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            answer: dict[str, Any] = json.loads(line)
            if "read" not in answer:
                return answer
            if progress is not None:
                progress(answer["read"])

    async def _take(self) -> asyncio.subprocess.Process:
        """A worker that lives. One that cannot be started says nothing about a file, so that is waited for."""
        if self._warming is not None:
            await asyncio.wait({self._warming})
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
            self._all.discard(process)
        delay = _START_RETRY_FIRST
        while True:
            try:
                return await self._start()
            except OSError as error:
                log.warning("verify_worker_not_started", error=str(error), retry_in=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _START_RETRY_LONGEST)

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "livereel.verify.worker",
            *worker_arguments(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_LINE,
        )
        self._all.add(process)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_TIMEOUT):
                if await process.stdout.readline():
                    return process
        except TimeoutError:
            pass
        except BaseException:
            await self._end(process)
            raise
        await self._end(process)
        raise OSError(f"it ended, or hung, before it was ready (exit code {process.returncode})")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self._all.discard(process)
        await children.kill(process)
