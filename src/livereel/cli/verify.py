"""`livereel verify`: are the recordings that should be in the stores there, unchanged, and do they play?"""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from livereel.cli.shell import EXIT_FAILED, EXIT_USAGE, AsJson, bytes_text, fail, print_json, say, settings_of
from livereel.domain.errors import LivereelError

if TYPE_CHECKING:
    from livereel.catalogue.port import Catalogue
    from livereel.control.audit import Audit, Extra, Known, Result, Subject, Wanted
    from livereel.settings import Settings
    from livereel.storage.port import Stores

#: Seconds between lines that tell how far a long run has come.
PROGRESS_EVERY: Final = 10.0
#: Files that are fetched and read at once: one is fetched while another is read.
AT_ONCE: Final = 2
_AGE = re.compile(r"(\d+)([dhm])")
_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60}


def verify(
    context: typer.Context,
    bucket: Annotated[str | None, typer.Option(help="Only files in this bucket.")] = None,
    task: Annotated[str | None, typer.Option(help="Only files of this recording (task id).")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only files that ended since then: a date, a time (RFC 3339), or 7d, 12h, 30m.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Decode every frame instead of key frames only.")] = False,
    without_catalogue: Annotated[
        bool,
        typer.Option(
            "--without-catalogue", help="Go by the recording.json files in --bucket; nothing is written down."
        ),
    ] = False,
    prefix: Annotated[str, typer.Option(help="With --without-catalogue: only below this directory.")] = "",
    temp: Annotated[
        Path | None, typer.Option(help="Directory for fetched files, the two largest at once.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch stored recordings, compare them with what was recorded, and write down the verdict.

    Tells what is missing, changed or does not decode, and objects that no recording names. Exit status: 0 all is well,
    1 something is wrong, 2 something could not be looked at.
    """
    from livereel.control.audit import Wanted

    if without_catalogue and bucket is None:
        fail("--without-catalogue wants --bucket", EXIT_USAGE)
    if prefix and not without_catalogue:
        fail("--prefix is for --without-catalogue", EXIT_USAGE)
    settings = settings_of(context)
    wanted = Wanted(None if without_catalogue else bucket, task, None if since is None else _time(since))
    place = (bucket or "", prefix.strip("/")) if without_catalogue else None
    run = _Run(settings, wanted, place, full=full, temp=temp, as_json=as_json)
    try:
        code = asyncio.run(run.run())
    except (LivereelError, OSError) as problem:
        fail(problem.detail if isinstance(problem, LivereelError) else str(problem), EXIT_USAGE)
    raise typer.Exit(code)


class _Run:
    def __init__(
        self,
        settings: "Settings",
        wanted: "Wanted",
        place: tuple[str, str] | None,
        *,
        full: bool,
        temp: Path | None,
        as_json: bool,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._place = place
        self._full = full
        self._temp = temp
        self._as_json = as_json
        self._files = 0
        self._fetched = 0
        self._told_at = time.monotonic()

    async def run(self) -> int:
        from livereel.control.audit import Audit, Known, note
        from livereel.domain.verification import VerifyLevel
        from livereel.storage.buckets import Buckets, LocalStores
        from livereel.verify.pool import VerifyPool

        level = VerifyLevel.FULL if self._full else VerifyLevel.KEYFRAMES
        stores = Buckets(
            LocalStores(self._settings.storage_root().absolute(), create=False), self._settings.bucket_configs()
        )
        pool = VerifyPool(AT_ONCE, level)
        with tempfile.TemporaryDirectory(prefix="livereel-verify-", dir=self._temp) as below:
            try:
                audit = Audit(stores, pool, below=Path(below), level=level, fetched=self._note_fetched)
                known = Known()
                results: list[Result] = []
                async with self._catalogue() as catalogue:
                    async for subjects in self._subjects(stores, catalogue, known):
                        async for result in audit.check_all(subjects, AT_ONCE):
                            self._files += 1
                            if result.verdict is None or result.verdict.damages:
                                results.append(result)
                            self._progress()
                            if catalogue is not None:
                                await note(catalogue, result, time.time())
                    extras = await self._extras(audit, known)
            finally:
                await pool.stop()
        return self._report(results, extras)

    @asynccontextmanager
    async def _catalogue(self) -> AsyncIterator["Catalogue | None"]:
        from livereel.catalogue.engine import open_catalogue

        if self._place is not None:
            yield None
            return
        if self._settings.catalogue.url is None and not (self._settings.data_dir / "catalogue.db").exists():
            raise LivereelError(
                f"{self._settings.data_dir.absolute()} holds no catalogue: name the settings file with --config, or go "
                "by the files themselves with --without-catalogue"
            )
        catalogue = await open_catalogue(self._settings.catalogue_url())
        try:
            yield catalogue
        finally:
            await catalogue.close()

    def _subjects(
        self, stores: "Stores", catalogue: "Catalogue | None", known: "Known"
    ) -> AsyncIterator[list["Subject"]]:
        from livereel.control.audit import from_catalogue, from_manifests

        if self._place is not None:
            return from_manifests(stores, *self._place, self._wanted, known)
        assert catalogue is not None
        return from_catalogue(catalogue, self._wanted, known)

    async def _extras(self, audit: "Audit", known: "Known") -> list["Extra"]:
        if self._wanted.task_id is not None or self._wanted.since is not None:
            return []
        if self._wanted.bucket is not None:
            known.directories = {place for place in known.directories if place[0] == self._wanted.bucket}
        return await audit.extras(known, time.time())

    def _note_fetched(self, count: int) -> None:
        self._fetched += count

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_EVERY:
            self._told_at = now
            sys.stderr.write(f"{self._files} files, {bytes_text(self._fetched)} read\n")
            sys.stderr.flush()

    def _report(self, results: list["Result"], extras: list["Extra"]) -> int:
        wrong = [result for result in results if result.verdict is not None and result.verdict.damages]
        unseen = [result for result in results if result.verdict is None]
        good = self._files - len(results)
        if self._as_json:
            print_json(
                {
                    "files": self._files,
                    "bytes": self._fetched,
                    "verified": good,
                    "damaged": [_damaged(result) for result in wrong],
                    "unchecked": [_about(result) | {"problem": result.problem} for result in unseen],
                    "extra": [extra._asdict() for extra in extras],
                }
            )
        else:
            for result in wrong:
                assert result.verdict is not None
                for damage in result.verdict.damages:
                    where = f" ({damage.object})" if damage.object else ""
                    say(f"{result.subject.bucket}/{result.subject.object_key}{where}: {damage.reason}: {damage.detail}")
            for result in unseen:
                say(f"{result.subject.bucket}/{result.subject.object_key}: not checked: {result.problem}")
            for extra in extras:
                say(f"{extra.bucket}/{extra.key}: extra: no recording names it, {bytes_text(extra.size)}")
            say(
                f"{good} of {self._files} files verified, {len(wrong)} damaged, {len(unseen)} not checked, "
                f"{len(extras)} extra objects, {bytes_text(self._fetched)} read"
            )
        return EXIT_FAILED if wrong else EXIT_USAGE if unseen else 0


def _about(result: "Result") -> dict[str, Any]:
    subject = result.subject
    return {
        "bucket": subject.bucket,
        "object": subject.object_key,
        "task": subject.task_id,
        "job": subject.job_id,
        "stream": subject.stream,
    }


def _damaged(result: "Result") -> dict[str, Any]:
    assert result.verdict is not None
    return _about(result) | {"reasons": [damage.to_json() for damage in result.verdict.damages]}


def _time(text: str) -> float:
    """Unix seconds. Ends the program for what is no time."""
    if (age := _AGE.fullmatch(text)) is not None:
        return time.time() - int(age[1]) * _UNITS[age[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--since: {text!r} is no date, no time and no age such as 7d", EXIT_USAGE)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
