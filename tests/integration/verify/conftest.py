from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Verdict, VerifyLevel
from livereel.recorder.events import FileFinished
from livereel.verify.check import check
from livereel.verify.request import Account, CheckRequest
from tests.integration.recorder.conftest import Source, source  # noqa: F401  a fixture
from tests.integration.recorder.spools import Spool, finished, run, spec


@dataclass
class Made:
    """A record file and the account of it."""

    event: FileFinished
    account: Account

    @property
    def path(self) -> Path:
        return self.event.path

    @property
    def slices(self) -> list[Path]:
        return [self.path.parent / piece["name"] for piece in self.event.report["slices"]]

    def check(self, level: VerifyLevel = VerifyLevel.KEYFRAMES) -> Verdict:
        return check(CheckRequest(self.path, self.account, level), lambda _: None)


def account(event: FileFinished) -> Account:
    return Account(event.format, event.report, event.duration, event.video_codec, event.audio_codec, event.size)


Make = Callable[..., Made]


@pytest.fixture
def make(tmp_path: Path, source: Source) -> Make:  # noqa: F811
    """Record generated media in one format."""

    def made(record_format: RecordFormat, seconds: float = 5, **options: object) -> Made:
        root = tmp_path / record_format.value
        end = Spool(root / "spool").publish(source(seconds, **options))
        [event] = finished(run(spec(root, [record_format]), end), record_format)
        return Made(event, account(event))

    return made
