"""Kills and power cuts at every step of slices, playlists and recording.json.

In the working directory only kills count: after a power cut it is emptied and everything is made again from the spool.
In a bucket of this machine power cuts count too: what was reported stored is what the spool was given up for.
"""

import asyncio
import json
import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from livereel.control.damaged import keep_spool
from livereel.recorder.events import SliceReady
from livereel.storage.local import LocalStore
from livereel.testing.source import generate_tags
from tests.faults.tape import Bang, Disk, Note, Tape, laid_out, torn
from tests.integration.recorder.spools import HLS, Spool, finished, run, spec

TS_PACKET = 188
#: Seeded power cuts at each step of the tape.
CUTS_PER_STEP = 8


def named(playlist: bytes) -> list[str]:
    """What a playlist names; it must be a whole one."""
    lines = playlist.decode().splitlines(keepends=True)
    assert lines[0] == "#EXTM3U\n"
    assert all(line.endswith("\n") for line in lines)
    complete = "#EXT-X-PLAYLIST-TYPE:VOD\n" in lines
    assert complete == (lines[-1] == "#EXT-X-ENDLIST\n")
    assert complete or "#EXT-X-PLAYLIST-TYPE:EVENT\n" in lines
    return [line.strip() for line in lines if not line.startswith("#")]


def test_a_playlist_names_whole_slices_at_every_step_of_its_writer(tmp_path: Path) -> None:
    end = Spool(tmp_path / "spool").publish(generate_tags(9, gop_seconds=1, size=(64, 48), fps=10))
    work = tmp_path / "work"
    work.mkdir()
    with pytest.MonkeyPatch.context() as taping:
        tape = Tape(work, taping)
        events = run(spec(tmp_path, [HLS], slice_duration=2), end)
    (file,) = finished(events, HLS)
    slices = {event.name: event.path.read_bytes() for event in events if isinstance(event, SliceReady)}
    assert len(slices) >= 4
    most, disk = 0, Disk()
    for step in tape.steps:
        for piece in torn(step):
            with disk.tried(piece):
                assert check_directory(disk.now(), slices) == most
        disk.play(step)
        count = check_directory(disk.now(), slices)
        assert count >= most  # a playlist only grows
        most = count
    assert most == len(slices)
    assert named(file.path.read_bytes()) == list(slices)
    assert "#EXT-X-ENDLIST" in file.path.read_text()


def check_directory(files: dict[str, bytes], slices: dict[str, bytes]) -> int:
    """The playlist in the working directory names whole slices only; gives how many."""
    playlist = next((path for path in files if path.endswith(".m3u8")), None)
    if playlist is None:
        return 0
    names = named(files[playlist])
    assert names == list(slices)[: len(names)]
    for name in names:
        assert files[f"{playlist.rpartition('/')[0]}/{name}"] == slices[name]
    return len(names)


@dataclass(frozen=True, slots=True)
class Stored:
    """`put` came back: the object is this."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Putting:
    """From now on the object may be this."""

    key: str
    data: bytes


async def test_what_is_in_a_bucket_is_whole_and_what_was_reported_stored_stays(tmp_path: Path) -> None:
    root, work = tmp_path / "disk", tmp_path / "disk" / "work"
    work.mkdir(parents=True)
    slices = [random.Random(number).randbytes(TS_PACKET * (10 + 7 * number)) for number in range(3)]
    texts = [json.dumps({"slices": [f"{n}.ts" for n in range(count)]}).encode() * 9 for count in (1, 2, 3)]
    with pytest.MonkeyPatch.context() as taping:
        tape = Tape(root, taping)
        store = LocalStore("recordings", root / "store" / "recordings")

        async def put(key: str, data: bytes, *, final: bool = False, as_bytes: bool = False) -> None:
            tape.note(Putting(key, data))
            if as_bytes:
                await store.put_bytes(key, data)
            else:
                path = work / key.rpartition("/")[2]
                with path.open("wb") as file:
                    file.write(data)
                await store.put_file(key, path, final=final)
            tape.note(Stored(key, data))

        for number, data in enumerate(slices):
            await put(f"live/cam/{number}.ts", data, final=True)
            await put("live/cam/index.m3u8", texts[number])
        await put("live/cam/recording.json", texts[0], as_bytes=True)
        await put("live/cam/recording.json", texts[1], as_bytes=True)
    chance, disk = random.Random(3), Disk()
    allowed: dict[str, set[bytes]] = {}
    stored: dict[str, bytes] = {}
    for step in tape.steps:
        disk.play(step)
        if isinstance(step, Note) and isinstance(step.value, Putting):
            allowed.setdefault(step.value.key, set()).add(step.value.data)
        if isinstance(step, Note) and isinstance(step.value, Stored):
            stored[step.value.key] = step.value.data
            allowed[step.value.key] = {step.value.data}
        for _ in range(CUTS_PER_STEP):
            check_bucket(disk.after_power_cut(chance), stored, allowed)


def check_bucket(files: dict[str, bytes], stored: dict[str, bytes], allowed: dict[str, set[bytes]]) -> None:
    bucket = "store/recordings/"
    found = {path.removeprefix(bucket): data for path, data in files.items() if path.startswith(bucket)}
    found = {key: data for key, data in found.items() if not key.startswith(".livereel/")}
    assert stored.keys() <= found.keys()
    for key, data in found.items():
        assert data in allowed[key]
    if (playlist := found.get("live/cam/index.m3u8")) is not None:
        for name in json.loads(playlist[: len(playlist) // 9])["slices"]:
            assert f"live/cam/{name}" in found


async def test_what_a_dead_writer_made_is_synced_by_the_next(tmp_path: Path) -> None:
    """Killed at any step of the first put, directories may be there whose names are not on disk yet."""
    chance = random.Random(5)
    dies_at, died = 0, True
    while died:
        root = tmp_path / str(dies_at)
        root.mkdir()
        with pytest.MonkeyPatch.context() as taping:
            tape = Tape(root, taping)
            tape.dies_at = died_at = dies_at
            try:
                await LocalStore("recordings", root / "store" / "recordings").put_bytes("live/cam/one", b"1")
                died = False
            except Bang:
                pass
            tape.dies_at = None
            dies_at += 1
            for key in ("live/cam/two", "live/three"):
                # A store for each, as two processes have.
                await LocalStore("recordings", root / "store" / "recordings").put_bytes(key, key.encode())
                tape.note(Stored(key, key.encode()))
        disk, stored = Disk(), dict[str, bytes]()
        for step in tape.steps:
            disk.play(step)
            if isinstance(step, Note):
                stored[step.value.key] = step.value.data
                for _ in range(CUTS_PER_STEP):
                    found = disk.after_power_cut(chance)
                    for name, data in stored.items():
                        assert found.get(f"store/recordings/{name}") == data, f"killed at {died_at}: {name} is lost"
    assert dies_at > 10


async def test_who_comes_second_does_not_rely_on_a_name_that_the_first_has_not_synced(tmp_path: Path) -> None:
    """Two writers in a new directory; the one that made it hangs before it can bring its name to the disk."""
    hangs, goes_on = threading.Event(), threading.Event()
    with pytest.MonkeyPatch.context() as taping:
        tape = Tape(tmp_path, taping)
        store = LocalStore("recordings", tmp_path / "store")
        await store.put_bytes("before", b"0")
        sync = os.fsync

        def patient(descriptor: int) -> None:
            made = os.readlink(f"/proc/self/fd/{descriptor}").endswith("/live/cam")
            if made and not hangs.is_set():
                hangs.set()
                goes_on.wait(60)
            sync(descriptor)

        taping.setattr(os, "fsync", patient)
        first = asyncio.create_task(store.put_bytes("live/cam/deep/one", b"1"))
        await asyncio.to_thread(hangs.wait, 60)
        await store.put_bytes("live/cam/deep/two", b"2")
        tape.note(Stored("live/cam/deep/two", b"2"))
        until = len(tape.steps)
        goes_on.set()
        await first
    disk, chance = Disk(), random.Random(7)
    for step in tape.steps[:until]:
        disk.play(step)
    for _ in range(50):
        assert disk.after_power_cut(chance).get("store/live/cam/deep/two") == b"2"


async def test_a_directory_that_goes_and_comes_again_is_synced_again(tmp_path: Path) -> None:
    """It may have the inode of the one before. What was deleted does not come again."""
    with pytest.MonkeyPatch.context() as taping:
        tape = Tape(tmp_path, taping)
        store = LocalStore("recordings", tmp_path / "store")
        for turn in range(5):
            await store.put_bytes("live/cam/one", b"%d" % turn)
            tape.note(Stored("live/cam/one", b"%d" % turn))
            assert await store.delete("live/cam/one")
            tape.note(None)
            os.mkdir(tmp_path / "store" / "live")  # by somebody who does not sync it
    disk, chance = Disk(), random.Random(9)
    for step in tape.steps:
        disk.play(step)
        if isinstance(step, Note):
            for _ in range(CUTS_PER_STEP):
                found = disk.after_power_cut(chance).get("store/live/cam/one")
                assert found == (step.value.data if step.value is not None else None)


def test_the_spool_of_a_damaged_file_is_kept_before_its_own_goes(tmp_path: Path) -> None:
    segments = {f"spool/task/{number:06d}.flv": b"segment %d" % number for number in (1, 2)}
    with laid_out(segments, tmp_path / "disk") as root:
        with pytest.MonkeyPatch.context() as taping:
            tape = Tape(root, taping)
            keep_spool(root / "damaged", "job", [root / name for name in segments], {"why": "a test"})
            tape.note(None)
            for name in segments:
                os.unlink(root / name)
        disk, chance, kept = Disk(), random.Random(11), False
        for step in tape.steps:
            disk.play(step)
            kept = kept or (isinstance(step, Note))
            for _ in range(CUTS_PER_STEP):
                found = disk.after_power_cut(chance)
                if kept:
                    assert [found.get(f"damaged/job/{Path(name).name}") for name in segments] == [*segments.values()]
                    assert json.loads(found["damaged/job/file.json"]) == {"why": "a test"}
