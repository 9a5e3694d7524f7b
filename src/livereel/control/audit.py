"""Looking at stored recordings again, at any time: is every object there, unchanged, and does it still play?

What should be there is known from the catalogue, or without one from the recording.json that lies beside the files.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from livereel.catalogue.port import Catalogue
from livereel.control.stored_files import account_of, check_stored, object_keys
from livereel.domain.errors import LivereelError
from livereel.domain.recordings import RecordFile
from livereel.domain.states import OPEN_TASK_STATES, FileState
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Verdict, Verification, VerifyLevel
from livereel.storage.port import Store, Stores
from livereel.verify.pool import VerifyPool
from livereel.verify.request import Account

#: Objects younger than this may be on their way into the catalogue.
EXTRA_AGE: Final = 3600.0  # seconds
#: What record files are made of. Other objects beside them are none of our business.
_MEDIA: Final = frozenset((".flv", ".mp4", ".m3u8", ".ts"))
_PAGE: Final = 100
#: Of a recording.json: one with 21 600 slices takes 4 MB.
_MANIFEST_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """A record file that should be in a store. `file` is its row if the catalogue knows it."""

    bucket: str
    object_key: str
    account: Account
    task_id: str
    job_id: str
    stream: str
    file: RecordFile | None = None


class Result(NamedTuple):
    """What became of looking at one file; `problem` says why it could not be looked at."""

    subject: Subject
    verdict: Verdict | None
    problem: str | None = None


class Extra(NamedTuple):
    """An object beside record files that nobody names."""

    bucket: str
    key: str
    size: int


@dataclass(slots=True)
class Wanted:
    """Which files to look at; None: all. `since` is Unix seconds: files that ended later."""

    bucket: str | None = None
    task_id: str | None = None
    since: float | None = None

    def includes(self, subject: Subject, ended_at: float | None) -> bool:
        """Whether a file is among them."""
        return (
            self.bucket in (None, subject.bucket)
            and self.task_id in (None, subject.task_id)
            and (self.since is None or ended_at is None or ended_at >= self.since)
        )


@dataclass(slots=True)
class Known:
    """All objects that somebody names, and the directories they are in."""

    hashes: set[int] = field(default_factory=set)  # of bucket and key: there may be millions
    directories: set[tuple[str, str]] = field(default_factory=set)

    def add(self, bucket: str, keys: Iterable[str]) -> None:
        """Objects of one file."""
        for key in keys:
            self.hashes.add(hash((bucket, key)))
            self.directories.add((bucket, _directory(key)))

    def __contains__(self, place: tuple[str, str]) -> bool:
        return hash(place) in self.hashes


class Audit:
    """One look. `below` is a directory for fetched files; `fetched` hears of bytes."""

    def __init__(
        self, stores: Stores, pool: VerifyPool, *, below: Path, level: VerifyLevel, fetched: Callable[[int], None]
    ) -> None:
        self._stores = stores
        self._pool = pool
        self._below = below
        self._level = level
        self._fetched = fetched

    async def check(self, subject: Subject) -> Result:
        """Look at one file."""
        try:
            store = self._stores.get(subject.bucket)
            verdict = await check_stored(
                store,
                subject.object_key,
                subject.account,
                self._pool,
                below=self._below,
                level=self._level,
                progress=self._fetched,
            )
        except LivereelError as error:
            return Result(subject, None, error.detail)
        except OSError as error:
            return Result(subject, None, str(error))
        return Result(subject, verdict)

    async def check_all(self, subjects: list[Subject], at_once: int) -> AsyncIterator[Result]:
        """Results as they come."""
        places = asyncio.Semaphore(at_once)

        async def one(subject: Subject) -> Result:
            async with places:
                return await self.check(subject)

        for done in asyncio.as_completed([one(subject) for subject in subjects]):
            yield await done

    async def extras(self, known: Known, now: float) -> list[Extra]:
        """Media objects in the directories of record files that are nobody's. Raises StoreError."""
        found = []
        for bucket, directory in sorted(known.directories):
            async for stored in self._stores.get(bucket).objects(directory):
                suffix = PurePosixPath(stored.key).suffix
                if suffix not in _MEDIA or _directory(stored.key) != directory:
                    continue
                if (bucket, stored.key) not in known and stored.modified_at < now - EXTRA_AGE:
                    found.append(Extra(bucket, stored.key, stored.size))
        return found


async def from_catalogue(catalogue: Catalogue, wanted: Wanted, known: Known) -> AsyncIterator[list[Subject]]:
    """The stored files that are wanted, some at a time: what is known of many slices is large. Adds to `known`."""
    offset, more = 0, True
    while more:
        subjects = []
        async with catalogue.read() as uow:
            page = await uow.tasks.list(offset=offset, limit=_PAGE)
            for task in page.items:
                for file in await uow.files.of_task(task.id):
                    known.add(file.bucket, [piece.object_key for piece in await uow.slices.of_file(file.job_id)])
                    subject = _of_row(file)
                    known.add(file.bucket, object_keys(subject.account, file.object_key).values())
                    if file.state is FileState.STORED and file.report and wanted.includes(subject, file.ended_at):
                        subjects.append(subject)
        yield subjects
        offset += len(page.items)
        more = len(page.items) == _PAGE


async def from_manifests(
    stores: Stores, bucket: str, below: str, wanted: Wanted, known: Known
) -> AsyncIterator[list[Subject]]:
    """The same by every recording.json in a bucket, `below` a directory of it. Raises StoreError, InvalidParameter."""
    store = stores.get(bucket)
    seen: set[str] = set()
    async for stored in store.objects(below):
        name = PurePosixPath(stored.key).name
        if name != "recording.json" and not (name.startswith("recording-") and name.endswith(".json")):
            continue
        if stored.size > _MANIFEST_MAX or (manifest := await _manifest(store, stored.key, stored.size)) is None:
            continue
        files = [file for file in manifest["files"] if file["state"] == FileState.STORED.value]
        # A bucket may have been copied under another name; but files of one recording may be in two.
        copied = len({file["bucket"] for file in files}) == 1
        subjects = []
        for file in files:
            subject = _of_manifest(manifest, file, bucket if copied else file["bucket"])
            known.add(subject.bucket, object_keys(subject.account, subject.object_key).values())
            ended_at = datetime.fromisoformat(file["ended_at"]).timestamp() if file["ended_at"] else None
            # Each directory of a recording has the same recording.json.
            if subject.job_id not in seen and wanted.includes(subject, ended_at):
                seen.add(subject.job_id)
                subjects.append(subject)
        yield subjects


async def note(catalogue: Catalogue, result: Result, now: float) -> None:
    """Write a verdict into the catalogue. One that is still to be told, of an open task, is left to the server."""
    file, verdict = result.subject.file, result.verdict
    if file is None or verdict is None:
        return
    if verdict.verification is Verification.DAMAGED:
        verdict = replace(verdict, sha256=None)  # what was stored once stays known
    async with catalogue.write() as uow:
        if file.verification is Verification.PENDING:
            task = await uow.tasks.get(file.task_id)
            if task is not None and task.state in OPEN_TASK_STATES:
                return
        await uow.files.set_verdict(file.job_id, verdict, now)


def _of_row(file: RecordFile) -> Subject:
    return Subject(file.bucket, file.object_key, account_of(file), file.task_id, file.job_id, str(file.key), file)


def _of_manifest(manifest: dict[str, Any], file: dict[str, Any], bucket: str) -> Subject:
    account = Account(
        format=RecordFormat(file["format"]),
        report=file,
        duration=file["duration"],
        video_codec=file["video_codec"] or "",
        audio_codec=file["audio_codec"] or "",
        size=file["size"],
        sha256=file["sha256"],
    )
    stream = "/".join((manifest["publish_domain"], manifest["app"], manifest["stream"]))
    return Subject(bucket, file["object"], account, manifest["task_id"], file["job_id"], stream)


async def _manifest(store: Store, key: str, size: int) -> dict[str, Any] | None:
    """A recording.json of ours, None for any other file of that name."""
    text = b"".join([piece async for piece in store.read(key, 0, size)])
    try:
        value = json.loads(text)
        if value["livereel_recording"] != 1:
            return None
        for file in value["files"]:
            _ = (file["state"], file["bucket"])
            if file["state"] == FileState.STORED.value:
                _of_manifest(value, file, "")
    except (ValueError, KeyError, TypeError):
        return None
    return dict(value)


def _directory(key: str) -> str:
    parent = str(PurePosixPath(key).parent)
    return "" if parent == "." else parent
