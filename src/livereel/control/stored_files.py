"""Record files as their store has them: fetched into a directory and read again there."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from livereel.domain.recordings import RecordFile
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification, VerifyLevel
from livereel.storage.port import Store
from livereel.verify.pool import VerifyPool
from livereel.verify.request import Account


def account_of(file: RecordFile) -> Account:
    """What a complete file has to hold."""
    return Account(
        format=file.format,
        report=file.report,
        duration=file.duration or 0.0,
        video_codec=file.video_codec or "",
        audio_codec=file.audio_codec or "",
        size=file.size,
        sha256=file.sha256,
    )


def object_keys(account: Account, object_key: str) -> dict[str, str]:
    """The objects of a file: file name to key; the file or playlist comes first."""
    main = PurePosixPath(object_key)
    names = [main.name, *(piece["name"] for piece in account.slices)]
    return {name: str(main.parent / name) for name in names}


async def check_stored(
    store: Store,
    object_key: str,
    account: Account,
    pool: VerifyPool,
    *,
    below: Path,
    level: VerifyLevel | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Fetch a file into a directory of its own `below` and read it there. Raises StoreError when the store is away.

    `progress` hears of every piece that was fetched, in bytes.
    """
    await asyncio.to_thread(below.mkdir, parents=True, exist_ok=True)
    directory = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=below))
    try:
        main, missing = directory / PurePosixPath(object_key).name, False
        for name, key in object_keys(account, object_key).items():
            found = await store.stat(key)
            if found is None:
                missing = missing or key == object_key
            else:
                await _fetch(store, key, found.size, directory / name, progress)
        if missing and not account.slices:
            return Verdict(Verification.DAMAGED, (Damage(DamageReason.MISSING, "the object is not there"),))
        return await pool.check(main, account, level=level)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


async def _fetch(store: Store, key: str, size: int, path: Path, progress: Callable[[int], None] | None) -> None:
    descriptor = await asyncio.to_thread(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        async for piece in store.read(key, 0, size):
            await asyncio.to_thread(_write, descriptor, piece)
            if progress is not None:
                progress(len(piece))
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
