"""Power cuts and kills at every point of a spool's life: what recovery leaves is a prefix of what was appended.

The tape of a real writer is cut at every step, torn, and its unsynced steps are lost and reordered; real recovery runs
over what that leaves.
"""

import os
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livereel.domain.recordings import SpoolPosition
from livereel.flv.tags import FLV_HEADER, TagReader
from livereel.spool import writer as writer_module
from livereel.spool.format import boot_id, segment_path, segments
from livereel.spool.pool import SpoolPool
from livereel.spool.recovery import recover
from tests.faults.tape import Bang, Disk, Note, Tape, laid_out, torn
from tests.unit.media import AUDIO_HEADER, HEADERS, NOW, audio, gop

TASK = "task"
REBOOTED = "another run of the kernel"
#: Seeded power cuts at each step of the tape.
CUTS_PER_STEP = 6


@dataclass(frozen=True, slots=True)
class Written:
    """Everything before `end` is in the files."""

    end: SpoolPosition


@dataclass(frozen=True, slots=True)
class Synced:
    """Somebody was told that everything before `end` is on disk."""

    end: SpoolPosition


@dataclass(slots=True)
class Story:
    """A tape, and the spool that it ends with."""

    tape: Tape
    whole: dict[int, bytes]

    def ends(self, number: int) -> set[int]:
        """Offsets between the tags of a segment."""
        reader, found = TagReader(), {0, len(FLV_HEADER)}
        for byte in range(0, len(self.whole[number]), 7):
            reader.feed(self.whole[number][byte : byte + 7])
            found.add(reader.position)
        position = len(FLV_HEADER)
        data = self.whole[number]
        while position < len(data):
            position += int.from_bytes(data[position + 1 : position + 4]) + 15
            found.add(position)
        return found


async def publish(pool: SpoolPool, tape: Tape, name: str, groups: Iterable[int]) -> None:
    """A push of some groups of pictures, synced now and then."""
    writer = pool.open(TASK, name)
    writer.begin(HEADERS, NOW)
    for index in groups:
        writer.append(gop(index * 200, size=400 + 90 * index), NOW + index)
        tape.note(Written(await writer.written()))
        if index % 3 == 1:
            tape.note(Synced(await writer.on_disk()))
    tape.note(Written(await writer.close()))


@pytest.fixture
async def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    """Two pushes of one task, in several segments."""
    monkeypatch.setattr(writer_module, "SEGMENT_MAX_BYTES", 9000)
    root = tmp_path / "spool"
    root.mkdir()
    with pytest.MonkeyPatch.context() as taping:
        tape = Tape(root, taping)
        for name in ("publish-1", "publish-2"):
            # Nothing is synced but when it is asked for, so that there is something to lose.
            pool = SpoolPool(root, fsync_interval=60)
            await publish(pool, tape, name, range(9))
            await pool.close()
    task_dir = root / TASK
    yield Story(tape, {number: segment_path(task_dir, number).read_bytes() for number in segments(task_dir)})


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / TASK).glob("*.flv"))}


def check_prefix(story: Story, root: Path, end: SpoolPosition | None, at_least: SpoolPosition) -> None:
    """What recovery left is whole tags, a prefix of what was appended, and all that had to be there."""
    found = contents(root)
    numbers = [int(name.split(".")[0]) for name in found]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, data in zip(numbers, found.values(), strict=True):
        if number < len(numbers):
            assert data == story.whole[number]
        else:
            assert data == story.whole[number][: len(data)]
            assert len(data) in story.ends(number)
    if end is None:
        assert at_least <= (1, 1000)  # no picture was told to be there
    else:
        assert end == SpoolPosition(numbers[-1], len(found[f"{numbers[-1]:06d}.flv"]))
        assert end >= at_least


def last(story: Story, upto: int, kind: type[Written | Synced]) -> SpoolPosition:
    known = [
        step.value.end for step in story.tape.steps[:upto] if isinstance(step, Note) and isinstance(step.value, kind)
    ]
    return max(known, default=SpoolPosition(1, 0))


def recovered_twice(root: Path, boot: str) -> SpoolPosition | None:
    end = recover(root, TASK, boot)
    left = contents(root)
    assert recover(root, TASK, boot) == end
    assert contents(root) == left
    return end


async def test_a_kill_at_any_step_leaves_what_was_written(story: Story, tmp_path: Path) -> None:
    disk = Disk()
    for index, step in enumerate(story.tape.steps):
        for piece in torn(step):
            with disk.tried(piece), laid_out(disk.now(), tmp_path / "state") as root:
                check_prefix(story, root, recovered_twice(root, boot_id()), last(story, index, Written))
        disk.play(step)
        with laid_out(disk.now(), tmp_path / "state") as root:
            check_prefix(story, root, recovered_twice(root, boot_id()), last(story, index, Written))


async def test_a_power_cut_at_any_step_leaves_what_was_synced(story: Story, tmp_path: Path) -> None:
    chance = random.Random(7)
    disk = Disk()
    for index, step in enumerate(story.tape.steps):
        disk.play(step)
        for _ in range(CUTS_PER_STEP):
            with laid_out(disk.after_power_cut(chance), tmp_path / "state") as root:
                check_prefix(story, root, recovered_twice(root, REBOOTED), last(story, index, Synced))


async def test_power_cuts_that_hypothesis_thinks_of(story: Story, tmp_path: Path) -> None:
    @given(st.integers(0, len(story.tape.steps) - 1), st.randoms(use_true_random=False))
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def cut(index: int, chance: random.Random) -> None:
        disk = Disk()
        for step in story.tape.steps[: index + 1]:
            disk.play(step)
        with laid_out(disk.after_power_cut(chance), tmp_path / "state") as root:
            check_prefix(story, root, recovered_twice(root, REBOOTED), last(story, index, Synced))

    cut()


def kills_at_every_step_of_recovery(files: dict[str, bytes], root: Path) -> int:
    """Recovery of `files` killed at its first step, its second and so on: how many kills it took to see all."""
    with laid_out(files, root) as generation:
        end = recover(generation, TASK, REBOOTED)
        left = contents(generation)
    for dies_at in range(10):
        with laid_out(files, root) as generation:
            with pytest.MonkeyPatch.context() as taping:
                tape = Tape(generation, taping)
                tape.dies_at = len(tape.steps) + dies_at
                try:
                    recover(generation, TASK, REBOOTED)
                    survived = True
                except Bang:
                    survived = False
            assert recover(generation, TASK, REBOOTED) == end
            assert contents(generation) == left
        if survived:
            return dies_at
    pytest.fail("recovery takes more steps than were tried")


async def test_recovery_may_be_killed_at_any_of_its_own_steps(story: Story, tmp_path: Path) -> None:
    chance = random.Random(11)
    killed = 0
    disk = Disk()
    for step in story.tape.steps:
        disk.play(step)
        for _ in range(CUTS_PER_STEP):
            killed += kills_at_every_step_of_recovery(disk.after_power_cut(chance), tmp_path / "state")
    assert killed > 10  # else this test tries nothing


async def test_a_spool_goes_on_after_a_power_cut_and_outlives_the_next(story: Story, tmp_path: Path) -> None:
    """Nothing of what the first recovery cut may come back, and nothing it kept may go."""
    chance = random.Random(13)
    for index in range(12, len(story.tape.steps), 9):
        first = Disk()
        for step in story.tape.steps[: index + 1]:
            first.play(step)
        files = first.after_power_cut(chance)
        with (
            laid_out(files, tmp_path / f"second-{index}") as generation,
            pytest.MonkeyPatch.context() as taping,
        ):
            tape = Tape(generation, taping)
            end = recover(generation, TASK, REBOOTED)
            if end is None:
                continue
            tape.note(Synced(end))  # it was read from the disk
            pool = SpoolPool(generation, fsync_interval=60)
            await publish(pool, tape, "publish-3", range(4))
            await pool.close()
            task_dir = generation / TASK
            again = Story(tape, {number: segment_path(task_dir, number).read_bytes() for number in segments(task_dir)})
        disk = Disk()
        for at, step in enumerate(tape.steps):
            disk.play(step)
            if at < tape.begin or not isinstance(step, Note):
                continue
            for _ in range(4):
                with laid_out(disk.after_power_cut(chance), tmp_path / "state") as root:
                    check_prefix(again, root, recovered_twice(root, "a third"), last(again, at, Synced))


async def test_a_byte_that_turned_within_what_was_synced_does_not_cost_what_follows(
    story: Story, tmp_path: Path
) -> None:
    disk = Disk()
    for step in story.tape.steps:
        disk.play(step)
    with laid_out(disk.now(), tmp_path / "state") as root:
        path = segment_path(root / TASK, 1)
        data = bytearray(path.read_bytes())
        data[2000] ^= 0xFF
        path.write_bytes(data)
        assert recover(root, TASK, REBOOTED) == SpoolPosition(len(story.whole), len(story.whole[len(story.whole)]))


async def test_an_audio_only_spool_is_checked_too(tmp_path: Path) -> None:
    pool = SpoolPool(tmp_path)
    writer = pool.open(TASK, "publish-1")
    writer.begin([AUDIO_HEADER], NOW)
    writer.append([audio(20 * index) for index in range(50)], NOW)
    end = await writer.on_disk()
    writer.append([audio(1000 + 20 * index) for index in range(50)], NOW)
    await writer.close()
    await pool.close()
    path = segment_path(tmp_path / TASK, 1)
    data = path.read_bytes()
    path.write_bytes(data[: end.offset + 300] + bytes(200) + data[end.offset + 500 :])
    os.truncate(path, len(data))
    assert recover(tmp_path, TASK, REBOOTED) == end
