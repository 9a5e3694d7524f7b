"""A verifier for tests of what is around it: takes every file for good, without a process and without libav."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from livereel.domain.recordings import SpoolPosition
from livereel.domain.verification import Verdict, Verification, VerifyLevel
from livereel.recorder.events import FileFinished, TaskSpec
from livereel.verify.pool import CannotRemake, VerifyPool
from livereel.verify.request import Account


class TrustingPool(VerifyPool):
    """A `VerifyPool` that finds nothing wrong. `verdicts` are given out first, one per file."""

    def __init__(self, *verdicts: Verdict) -> None:
        super().__init__(1, VerifyLevel.KEYFRAMES)
        self.verdicts = list(verdicts)

    def warm(self) -> None:
        """There is nothing to start."""

    async def check(
        self,
        path: Path,
        account: Account,
        *,
        level: VerifyLevel | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Verdict:
        """See `VerifyPool`; `account` and the rest are not looked at."""
        if self.verdicts:
            return self.verdicts.pop(0)
        data = path.read_bytes()  # noqa: ASYNC240 - small files of tests
        return Verdict(Verification.VERIFIED, (), hashlib.sha256(data).hexdigest())

    async def remake(self, spec: TaskSpec, job_id: str, end: SpoolPosition) -> FileFinished:
        """There is no worker that could."""
        raise CannotRemake(f"{job_id} cannot be made again here")
