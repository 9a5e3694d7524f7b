"""Keys that are lent for a while: they expire in the middle of things, and new ones are found without a restart."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from livereel.domain.errors import StoreError
from livereel.settings import BucketSettings
from livereel.storage import credentials
from livereel.storage.multipart import PART_SIZE
from livereel.storage.object_store import ObjectStore
from tests.integration.storage.lender import Lender
from tests.integration.storage.seaweed import BUCKET, SECRET_KEY, Seaweed

KEY = "Record/cam01.flv"
LONG = 3600.0


@pytest.fixture
def lender(seaweed: Seaweed) -> Iterator[Lender]:
    lender = Lender(seaweed.s3_port)
    yield lender
    lender.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def store(lender: Lender, prefix: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A bucket with keys out of a file, as settings make it, that looks for new keys at once when it is refused."""
    monkeypatch.setattr(credentials, "LOOK_AGAIN", 0.0)
    file.write_text(lender.lend(LONG).toml())
    settings = BucketSettings(
        url=f"s3://{BUCKET}/{prefix}", endpoint=lender.endpoint, region="us-east-1", credentials_file=file
    )
    return ObjectStore("rec-a", settings.config())


async def refusal(store: ObjectStore) -> str:
    with pytest.raises(StoreError) as refused:
        await store.put_bytes("other", b"x")
    return refused.value.detail


async def test_requests_of_both_kinds_bear_the_token(store: ObjectStore, lender: Lender) -> None:
    await store.check()
    assert store.parts is not None
    upload = await store.parts.begin(KEY)
    part = await store.parts.put(KEY, upload, 1, b"some bytes")
    await store.parts.complete(KEY, upload, [part])
    assert b"".join([piece async for piece in store.read(KEY, 0, 10)]) == b"some bytes"
    assert lender.refused == []


async def test_an_upload_goes_on_with_new_keys(
    store: ObjectStore, lender: Lender, file: Path, seaweed: Seaweed, prefix: str
) -> None:
    assert store.parts is not None
    data = os.urandom(PART_SIZE + 99)
    upload = await store.parts.begin(KEY)
    first = await store.parts.put(KEY, upload, 1, data[:PART_SIZE])
    before = file.read_text()
    lender.expire()
    for attempt in (
        lambda: store.parts.put(KEY, upload, 2, data[PART_SIZE:]),  # type: ignore[union-attr]
        lambda: store.parts.present(KEY, upload),  # type: ignore[union-attr]
        lambda: store.put_bytes("other", b"x"),
    ):
        with pytest.raises(StoreError, match=r"ExpiredToken: .*has expired: put new credentials into cred") as refused:
            await attempt()
        for secret in (SECRET_KEY, *before.split('"')[1::2]):
            assert secret not in refused.value.detail
    with pytest.raises(StoreError, match="if a session token has expired, put new credentials"):
        await store.stat(KEY)  # the answer to a HEAD has no body
    assert file.read_text() == before

    file.write_text(lender.lend(LONG).toml())
    second = await store.parts.put(KEY, upload, 2, data[PART_SIZE:])
    assert (await store.parts.complete(KEY, upload, [first, second])).size == len(data)
    assert b"".join([piece async for piece in store.read(KEY, 0, len(data))]) == data
    assert lender.parts() == [1, 2]
    assert seaweed.unfinished_uploads(below=prefix) == []


async def test_new_keys_are_found_before_the_old_ones_end(
    store: ObjectStore, lender: Lender, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_bytes("one", b"1")
    monkeypatch.setattr(credentials, "LOOK_EVERY", 0.0)
    file.write_text(lender.lend(LONG).toml())
    await store.put_bytes("two", b"2")
    assert store.parts is not None
    await store.parts.unfinished("two")
    assert len(set(lender.used)) == 2
    assert lender.refused == []


@pytest.mark.parametrize(
    "broken", ["", 'access_key = "half', 'access_key = "only one"', 'what = "is this"', 'session_token = "alone"', None]
)
async def test_a_file_that_cannot_be_used_leaves_the_keys_of_before(
    store: ObjectStore, lender: Lender, file: Path, broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY", 0.0)
    good = file.read_text()
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    await store.put_bytes("one", b"1")
    lender.expire()
    assert "ExpiredToken" in await refusal(store)
    file.write_text(good)
    assert "ExpiredToken" in await refusal(store)
    file.write_text(lender.lend(LONG).toml())
    await store.put_bytes("two", b"2")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lent: lent._replace(session_token="another"), "InvalidToken: the session token is not valid"),
        (lambda lent: lent._replace(access_key="ASIA"), "does not know the access key"),
        (lambda lent: lent._replace(secret_key="another"), "secret key is not that of the access key"),
    ],
    ids=["token", "access key", "secret key"],
)
async def test_wrong_keys_are_replaced_too(
    store: ObjectStore, lender: Lender, file: Path, change: object, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "LOOK_EVERY", 0.0)
    lent = lender.lend(LONG)
    file.write_text(change(lent).toml())  # type: ignore[operator]
    assert told in await refusal(store)
    file.write_text(lent.toml())
    await store.put_bytes("one", b"1")
