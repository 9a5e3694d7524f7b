"""A bucket in a directory: whole objects, never outside of it."""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.errors import InvalidName, StoreError
from livereel.storage import local
from livereel.storage.local import COMPONENT_MAX_BYTES, STAGING, LocalStore

KEY = "Record/push.example.com/live/cam01_20260721061528/20260721061528.mp4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "rec-a"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore("rec-a", root)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "recording.mp4"
    path.parent.mkdir()
    path.write_bytes(b"first")
    return path


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def objects(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    found = set[str]()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since the directory was read
            found.add(os.readlink(descriptor))
    return str(path) in found


@pytest.mark.parametrize("final", [True, False])
async def test_a_file_becomes_an_object_and_stays(store: LocalStore, root: Path, source: Path, final: bool) -> None:
    put = await store.put_file(KEY, source, final=final)
    assert put == await store.stat(KEY)
    assert (put.key, put.size) == (KEY, 5)
    assert abs(put.modified_at - time.time()) < 60
    assert source.read_bytes() == b"first"
    assert objects(root) == [KEY]
    assert store.describe(KEY) == str(root / KEY)
    assert await whole(store.read(KEY, 0, 5)) == b"first"


async def test_a_final_file_is_linked_and_any_other_copied(store: LocalStore, root: Path, source: Path) -> None:
    await store.put_file("final", source, final=True)
    await store.put_file("growing", source, final=False)
    assert (root / "final").samefile(source)
    assert not (root / "growing").samefile(source)


async def test_what_happens_to_a_growing_source_later_does_not_reach_the_object(
    store: LocalStore, root: Path, source: Path
) -> None:
    await store.put_file("index.m3u8", source, final=False)
    with source.open("r+b") as file:
        file.write(b"XXXXX and more")
    assert (root / "index.m3u8").read_bytes() == b"first"
    source.unlink()
    assert (root / "index.m3u8").read_bytes() == b"first"


async def test_a_final_source_may_be_deleted_or_replaced(store: LocalStore, root: Path, source: Path) -> None:
    await store.put_file(KEY, source, final=True)
    other = source.with_suffix(".new")
    other.write_bytes(b"second")
    other.replace(source)
    assert (root / KEY).read_bytes() == b"first"
    source.unlink()
    assert (root / KEY).read_bytes() == b"first"


async def test_putting_the_same_final_file_twice_leaves_nothing_behind(
    store: LocalStore, root: Path, source: Path
) -> None:
    first = await store.put_file(KEY, source, final=True)
    assert await store.put_file(KEY, source, final=True) == first
    assert objects(root) == [KEY]
    assert source.stat().st_nlink == 2


async def test_putting_replaces_in_one_step(store: LocalStore, root: Path) -> None:
    generations = [bytes([number]) * 200_000 for number in range(40)]
    await store.put_bytes(KEY, generations[0])
    done = asyncio.Event()

    async def write() -> None:
        for data in generations:
            await store.put_bytes(KEY, data)
        done.set()

    async def look() -> int:
        looks = 0
        while not done.is_set():
            assert (root / KEY).read_bytes() in generations
            looks += 1
            await asyncio.sleep(0)
        return looks

    _, looks = await asyncio.gather(write(), look())
    assert looks > 10
    assert objects(root) == [KEY]


async def test_readers_of_a_replaced_object_get_the_one_they_opened(store: LocalStore) -> None:
    await store.put_bytes(KEY, b"a" * 300_000)
    reading = store.read(KEY, 0, 300_000)
    first = await anext(reading)
    await store.put_bytes(KEY, b"b" * 300_000)
    assert first + await whole(reading) == b"a" * 300_000


@pytest.mark.parametrize("number", sorted(local._NO_LINK))
async def test_where_links_do_not_work_files_are_copied(
    store: LocalStore, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    await store.put_file(KEY, source, final=True)
    assert (root / KEY).read_bytes() == b"first"
    assert not (root / KEY).samefile(source)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system at /dev/shm")
async def test_across_file_systems_files_are_copied(store: LocalStore, root: Path, tmp_path: Path) -> None:
    source = Path("/dev/shm") / f"livereel-{os.getpid()}"
    source.write_bytes(b"x" * 3_000_000)
    try:
        assert source.stat().st_dev != tmp_path.stat().st_dev
        assert (await store.put_file(KEY, source, final=True)).size == 3_000_000
    finally:
        source.unlink()
    assert (root / KEY).read_bytes() == b"x" * 3_000_000


async def test_file_and_directories_reach_the_disk_before_put_returns(
    store: LocalStore, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    really_fsync, really_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        order.append(f"fsync {os.readlink(f'/proc/self/fd/{descriptor}').replace(str(root), '')}")
        really_fsync(descriptor)

    def rename(*args: object, **kwargs: object) -> None:
        order.append("rename")
        really_rename(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    await store.put_file("a/b.mp4", source, final=False)
    assert order[-3:] == ["fsync ", "rename", "fsync /a"]  # the new directory's entry, the name, its entry
    assert any(step.startswith(f"fsync /{STAGING}/") for step in order[: order.index("rename")])
    order.clear()
    await store.put_file("a/c.mp4", source, final=True)
    assert order == [f"fsync {source}", "rename", "fsync /a"]


async def test_a_failed_put_leaves_the_old_object_and_no_leftovers(
    store: LocalStore, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_bytes(KEY, b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", full)
        with pytest.raises(StoreError, match="No space left"):
            await store.put_file(KEY, source, final=False)
    assert objects(root) == [KEY]
    assert (root / KEY).read_bytes() == b"old"


async def test_sources_that_are_no_files_are_refused(store: LocalStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "missing"):
        with pytest.raises(StoreError, match=f"{tmp_path}"):
            await store.put_file(KEY, tmp_path / name, final=True)
    assert objects(root) == []


async def test_names_in_the_way_are_refused(store: LocalStore) -> None:
    await store.put_bytes("a/b", b"object")
    with pytest.raises(StoreError, match="no directory"):
        await store.put_bytes("a/b/c", b"below an object")
    with pytest.raises(StoreError, match="directory"):
        await store.put_bytes("a", b"over a directory")
    assert await store.stat("a") is None
    assert await store.stat("a/b/c") is None
    with pytest.raises(StoreError):
        await whole(store.read("a", 0, 1))


async def test_ranges(store: LocalStore) -> None:
    data = os.urandom(700_000)
    await store.put_bytes(KEY, data)
    assert await whole(store.read(KEY, 0, 700_000)) == data
    assert await whole(store.read(KEY, 262_143, 524_289)) == data[262_143:524_289]
    assert await whole(store.read(KEY, 5, 5)) == b""
    with pytest.raises(StoreError, match="ends at byte 700000"):
        await whole(store.read(KEY, 699_999, 700_001))
    with pytest.raises(StoreError, match="No such file"):
        await whole(store.read("missing", 0, 0))


async def test_a_download_that_is_given_up_closes_its_file(store: LocalStore, root: Path) -> None:
    await store.put_bytes(KEY, b"x" * 1_000_000)
    reading = store.read(KEY, 0, 1_000_000)
    await anext(reading)
    assert is_open(root / KEY)
    await reading.aclose()  # type: ignore[attr-defined]
    assert not is_open(root / KEY)


async def test_stat_of_nothing(store: LocalStore) -> None:
    assert await store.stat(KEY) is None
    await store.put_bytes("other", b"")
    assert await store.stat(KEY) is None
    assert (await store.stat("other")) is not None


async def test_delete_removes_the_object_and_empty_directories(store: LocalStore, root: Path) -> None:
    assert not await store.delete("a/b/c.mp4")
    await store.put_bytes("a/b/c.mp4", b"1")
    await store.put_bytes("a/d.mp4", b"2")
    assert await store.delete("a/b/c.mp4")
    assert not await store.delete("a/b/c.mp4")
    assert objects(root) == ["a/d.mp4"]
    assert not (root / "a" / "b").exists()
    assert not await store.delete("a")


async def test_puts_and_deletes_may_meet(store: LocalStore) -> None:
    async def put_and_delete(number: int) -> None:
        for _ in range(30):
            await store.put_bytes(f"a/b/{number}", b"x")
            assert await store.delete(f"a/b/{number}")

    await asyncio.gather(*map(put_and_delete, range(4)))


async def test_check_of_a_bucket_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot write to .*; make the directory writable"):
        await LocalStore("rec-a", tmp_path / "file" / "rec-a").check()


async def test_check_clears_up_after_dead_processes_only(store: LocalStore, root: Path) -> None:
    await store.check()
    old, fresh = root / STAGING / "old.part", root / STAGING / "fresh.part"
    for path in (old, fresh):
        path.touch()
    os.utime(old, (0, 0))
    await store.check()
    assert objects(root) == [f"{STAGING}/fresh.part"]


OUTSIDE = [
    "..",
    "../outside",
    "a/../../outside",
    "a/..",
    "./a",
    "a/./b",
    "/etc/passwd",
    "//etc/passwd",
    "a//b",
    "a/",
    "",
    "..\\outside",
    "a\\..\\..\\outside",
    "C:\\outside",
    "\\\\server\\share",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "a" * 1025,
    "a\ud800",
    "é" * 513,
]
HARMLESS = [
    "%2e%2e%2foutside",  # never decoded again below the API
    "..%2foutside",
    "%00",
    "\uff0e\uff0e/outside",  # full-width dots; nothing here normalises
    "\u2024\u2024/outside",  # one-dot leaders
    "a\u2215b",  # division slash
    "...",
    ". .",
    "~root/x",
    "$HOME",
    "C:/x",
    "-rf",
    "con",
    "a:b",
]


@pytest.mark.parametrize("key", OUTSIDE)
async def test_keys_that_are_no_object_keys_are_refused_everywhere(
    store: LocalStore, tmp_path: Path, source: Path, key: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidName):
        await store.put_bytes(key, b"x")
    with pytest.raises(InvalidName):
        await store.put_file(key, source, final=True)
    with pytest.raises(InvalidName):
        await store.stat(key)
    with pytest.raises(InvalidName):
        await whole(store.read(key, 0, 1))
    with pytest.raises(InvalidName):
        await store.delete(key)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", HARMLESS)
async def test_odd_keys_are_plain_names_inside(store: LocalStore, tmp_path: Path, root: Path, key: str) -> None:
    await store.put_bytes(key, b"x")
    assert objects(tmp_path) == [f"rec-a/{key}"]
    assert await store.stat(key) is not None


@given(key=st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "a", "", "\\", "/", "%2f"])).map("/".join))
def test_no_key_leads_outside(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("containment")
    root = directory / "deep" / "rec-a"

    async def put() -> None:
        try:
            await LocalStore("rec-a", root).put_bytes(key, b"x")
        except (InvalidName, StoreError):
            return
        assert len(objects(root)) == 1

    asyncio.run(put())
    assert all(path.is_relative_to(root) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["directory", "file"])
async def test_links_in_the_bucket_lead_nowhere(store: LocalStore, tmp_path: Path, root: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    await store.put_bytes("here", b"")
    if kind == "directory":
        (root / "link").symlink_to(outside)
        key = "link/secret"
    else:
        (root / "secret").symlink_to(outside / "secret")
        key = "secret"
    assert await store.stat(key) is None
    assert not await store.delete(key)
    with pytest.raises(StoreError, match="not followed"):
        await whole(store.read(key, 0, 6))
    if kind == "directory":
        with pytest.raises(StoreError, match="not followed"):
            await store.put_bytes(key, b"overwritten")
    else:
        await store.put_bytes(key, b"mine")  # takes the link's place, as any other object would
        assert (root / key).read_bytes() == b"mine"
    assert (outside / "secret").read_bytes() == b"secret"
    assert sorted(os.listdir(outside)) == ["secret"]


async def test_the_bucket_itself_may_be_a_link_of_the_operator(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "rec-a").symlink_to(tmp_path / "disk")
    await LocalStore("rec-a", tmp_path / "rec-a").put_bytes(KEY, b"x")
    assert objects(tmp_path / "disk") == [KEY]


async def test_long_names_are_shortened_and_never_meet(store: LocalStore, root: Path) -> None:
    longest = "a" * COMPONENT_MAX_BYTES
    keys = [
        longest,
        longest + "a",
        longest + "b",
        longest + "a.mp4",
        "ä" * 150 + ".m3u8",
        "x/" + "s" * 512 + "/" + "t" * 400,
        "." + "e" * 300,
    ]
    for number, key in enumerate(keys):
        await store.put_bytes(key, str(number).encode())
    for number, key in enumerate(keys):
        assert await whole(store.read(key, 0, 1)) == str(number).encode()
        assert Path(store.describe(key)).is_file()
    stored = [Path(path).name for path in objects(root)]
    assert longest in stored
    assert any(name.endswith(".mp4") for name in stored)
    assert all(len(name.encode()) <= 255 for name in stored)
    assert all(len(name.encode()) > COMPONENT_MAX_BYTES for name in stored if name != longest)


async def test_keys_never_meet_the_staging_directory(store: LocalStore, root: Path) -> None:
    keys = [STAGING, f"{STAGING}~", f"{STAGING}~~/x", f"a/{STAGING}", f"{STAGING}x"]
    for key in keys:
        await store.put_bytes(key, key.encode())
    for key in keys:
        assert await whole(store.read(key, 0, len(key))) == key.encode()
    assert list((root / STAGING).iterdir()) == []


async def test_a_name_that_looks_shortened_is_shortened_again(store: LocalStore, root: Path) -> None:
    await store.put_bytes("a" * 300 + ".ts", b"victim")
    [stored] = objects(root)
    await store.put_bytes(stored, b"intruder")
    assert len(objects(root)) == 2
    assert await whole(store.read("a" * 300 + ".ts", 0, 6)) == b"victim"
