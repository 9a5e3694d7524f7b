"""What must hold after a story: the promise of docs/topics/recovery.md, counted packet by packet."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from livereel.domain.media import TAG_VIDEO
from livereel.testing.media import assert_sound
from tests.acceptance.receiver import Message, event_of
from tests.acceptance.server import wait_until
from tests.faults.encoders import Push
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in
from tests.faults.story import Fault, Story, Stream

#: Seconds of media that a killed server may cost. The stated bound is one read interval of 0.5 s; the rest is for
#: noticing, and on top of it comes what processes wait for their turn on this machine, and the server for its disk.
LOST_MAX = 2.0
LAGS = 4
#: An interruption so much (s) shorter or longer than the merge window is on the right side of it, with the same on top.
MARGIN = 2.5


@dataclass
class Loss:
    """What one kill cost one stream."""

    packets: int = 0
    seconds: float = 0.0


@dataclass
class Recorded:
    """The files of one task in one format: the numbers of their packets."""

    task: dict[str, Any]
    files: list[list[int]]

    @property
    def numbers(self) -> list[int]:
        return [number for file in self.files for number in file]


def check(story: Story) -> list[Loss]:
    """Raises AssertionError for whatever does not hold; returns what was lost."""
    instance, losses = story.instance, []
    instance.check_logs()
    for stream in story.streams:
        tasks = instance.tasks(stream.plan.name)
        recorded = [_recorded(instance, story.media, task) for task in tasks]
        losses += _check_packets(story, stream, [by_format for by_format in recorded if by_format])
        check_callbacks(instance, stream.plan.name, tasks)
    check_tidy(instance)
    return losses


def _recorded(instance: Instance, media: Media, task: dict[str, Any]) -> dict[str, Recorded]:
    """By format. Every file of a task that completed is there, decodes, and is what recording.json says."""
    files = instance.files(task["id"])
    if task["state"] != "completed":
        assert not files, f"task {task['id']} has files and is {task['state']}: {task['error']}"
        return {}
    found: dict[str, Recorded] = {}
    for file in files:
        assert file["state"] == "stored", file
        path = instance.path(file)
        assert_sound(path, may_be_silent=True)  # what it has to hold is compared with what was sent
        numbers = numbers_in(path, media)
        found.setdefault(file["format"], Recorded(task, [])).files.append(numbers)
    _check_manifest(instance, files)
    one, *others = found.values()
    for other in others:
        for kind in (True, False):
            of_kind = [[n for n in r.numbers if _is_video(media, n) is kind] for r in (one, other)]
            assert of_kind[0] == of_kind[1], f"task {task['id']}: formats differ"
    return found


def _check_manifest(instance: Instance, files: list[dict[str, Any]]) -> None:
    manifest = json.loads(instance.path(files[0]).with_name("recording.json").read_text())
    assert manifest["state"] == "completed", manifest
    told = {file["job_id"]: file for file in manifest["files"]}
    assert set(told) == {file["job_id"] for file in files}
    for file in files:
        data = instance.path(file).read_bytes()
        assert told[file["job_id"]]["sha256"] == hashlib.sha256(data).hexdigest(), file["object_key"]
        slices = [instance.path(file).parent / name for name in _lines(data)] if file["format"] == "HLS" else []
        assert file["size"] == len(data) + sum(piece.stat().st_size for piece in slices), file["object_key"]


def _lines(playlist: bytes) -> list[str]:
    text = playlist.decode()
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in text and text.endswith("#EXT-X-ENDLIST\n"), text
    return [line for line in text.splitlines() if line and not line.startswith("#")]


# -- packets


def _check_packets(story: Story, stream: Stream, recorded: list[dict[str, Recorded]]) -> list[Loss]:
    found: list[Recorded] = [next(iter(by_format.values())) for by_format in recorded]
    name, media, pushes = stream.plan.name, story.media, stream.encoder.pushes
    everything = [number for task in found for number in task.numbers]
    for kind in (True, False):
        numbers = [number for number in everything if _is_video(media, number) is kind]
        for before, after in pairwise(numbers):
            assert after > before, f"{name}: packet {after} comes behind {before}: doubled or out of order"
        for push in pushes:
            sent = [n for n in range(push.first, push.end) if _is_video(media, n) is kind]
            there = [n for n in numbers if push.first <= n < push.end]
            if there:
                wanted = [n for n in sent if there[0] <= n <= there[-1]]
                assert there == wanted, f"{name}: holes at {sorted(set(wanted) - set(there))[:5]}"
    sent_numbers = {number for push in pushes for number in range(push.first, push.end)}
    assert set(everything) <= sent_numbers, f"{name}: not from here: {sorted(set(everything) - sent_numbers)[:5]}"
    return [_check_push(story, stream, index, set(everything), found) for index in range(len(pushes))]


def _check_push(story: Story, stream: Stream, index: int, there: set[int], found: list[Recorded]) -> Loss:
    """All that had to be recorded of a push is recorded, but for what the death of the server may cost."""
    push, name = stream.encoder.pushes[index], stream.plan.name
    began_at = _recorded_from(story, stream, index, found)
    if began_at is None:
        return Loss()
    stopped_at = min((stop.at for stop in stream.stops), default=float("inf"))
    death = next((death for death in story.deaths if death > push.began_at), None)
    loss = Loss()
    for number, sent_at in enumerate(push.sent_at, push.first):
        if sent_at < began_at or sent_at > stopped_at or number in there:
            continue
        if death is not None and sent_at > death:
            break
        assert death is not None, f"{name}: packet {number} is missing, and nobody died"
        loss.packets += 1
        loss.seconds = max(loss.seconds, death - sent_at)
        # What is lost is the end of what was sent.
        later = [n for n in range(number + 1, push.end) if n in there]
        assert not later or _is_video(story.media, number) is not _is_video(story.media, later[0]), f"{name}: {number}"
    most = LOST_MAX + LAGS * story.lag + (story.instance.late[death] if death is not None else 0.0)
    assert loss.seconds < most, (
        f"{name}: {loss.packets} packets of {loss.seconds:.2f} s before the death ({most:.1f} s)"
    )
    return loss


def _recorded_from(story: Story, stream: Stream, index: int, found: list[Recorded]) -> float | None:
    """The moment of a push from which on everything must be there; None if nothing need be."""
    push, plan = stream.encoder.pushes[index], stream.plan
    if any(stop.at < push.began_at for stop in stream.stops):
        return None
    if plan.kind == "CONTINUOUS_RECORD":
        if index and (same := _merged(story, stream, index)) is not None:
            _check_merged(stream, index, found, same)
        return push.began_at
    if index and _merged(story, stream, index) is True and _last_number(stream.encoder.pushes[index - 1], found):
        _check_merged(stream, index, found, True)
        return push.began_at
    ended_at = push.ended_at or float("inf")
    acknowledged = [s.answered_at for s in stream.starts if s.answered_at and push.began_at < s.at < ended_at]
    return min(acknowledged, default=None)


def _merged(story: Story, stream: Stream, index: int) -> bool | None:
    """Whether a push came back inside the merge window of the one before; None if that is a matter of moments."""
    before, push = stream.encoder.pushes[index - 1], stream.encoder.pushes[index]
    if not before.sent_at or not push.sent_at:
        return None
    gap = push.sent_at[0] - before.sent_at[-1]
    if stream.plan.window == 0:
        return False
    margin = MARGIN + LAGS * story.lag
    if gap < stream.plan.window - margin:
        return True
    return False if gap > stream.plan.window + margin else None


def _last_number(push: Push, found: list[Recorded]) -> int | None:
    numbers = [number for task in found for number in task.numbers if push.first <= number < push.end]
    return max(numbers, default=None)


def _check_merged(stream: Stream, index: int, found: list[Recorded], same: bool) -> None:
    """Both pushes are in the same task, and in the same file unless a cycle may have ended it; or they are not."""
    before, push = stream.encoder.pushes[index - 1], stream.encoder.pushes[index]
    last = _last_number(before, found)
    if last is None:
        return
    places = [
        (task_index, file_index)
        for number in (last, push.first)
        for task_index, task in enumerate(found)
        for file_index, file in enumerate(task.files)
        if number in file
    ]
    if len(places) < 2:  # the second push was too short for a recorded packet
        return
    what = f"{stream.plan.name}: pushes {index - 1} and {index} of a window of {stream.plan.window} s: {places}"
    assert (places[0][0] == places[1][0]) is same, what
    if same and stream.plan.cycle == 3600:
        assert places[0] == places[1], what


def _is_video(media: Media, number: int) -> bool:
    return media.packets[number].tag.kind == TAG_VIDEO


# -- callbacks and what is left


def check_callbacks(instance: Instance, stream: str, tasks: list[dict[str, Any]]) -> None:
    """Each task's story is told whole, in order and once; a message sent again bears the same id."""
    first: dict[str, Message] = {}
    for message in instance.receiver.of(stream):
        known = first.setdefault(message["_headers"]["Livereel-Message-Id"], message)
        assert event_of(known) == event_of(message)
    assert {message["task_id"] for message in first.values()} <= {task["id"] for task in tasks}
    for task in tasks:
        told = [(int(i), message) for i, message in first.items() if message["task_id"] == task["id"]]
        assert [i for i, _ in told] == sorted(i for i, _ in told), f"task {task['id']} is told out of order"
        events = [event_of(message) for _, message in told]
        files = instance.files(task["id"])
        if not files:  # it never began, so there may be a word that it failed and no story
            assert events in ([], ["RECORD_FAILED"]), f"{task}: {events}"
            continue
        assert (events[0], events[-1]) == ("RECORD_START", "RECORD_OVER"), events
        about = Counter((message.get("job_id"), event_of(message)) for _, message in told[1:-1])
        wanted = Counter((f["job_id"], e) for f in files for e in ("RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE"))
        assert about == wanted, f"missing {wanted - about}, too many {about - wanted}"
        for file in files:
            own = [event_of(message) for _, message in told if message.get("job_id") == file["job_id"]]
            assert own == ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE"], own


def check_tidy(instance: Instance) -> None:
    """Nothing is left over: no spool, no working file, no process, and nothing in the bucket that is nobody's."""

    def left() -> list[str]:
        return [
            str(path.relative_to(instance.data_dir))
            for name in ("spool", "work")
            for path in (instance.data_dir / name).glob("*")
            if path.is_dir()
        ]

    wait_until(lambda: not left(), PATIENCE, f"spool and work to be emptied of {left()}")
    ours = instance._process.pid if instance._process is not None else -1
    wait_until(lambda: not _orphans(instance, ours), PATIENCE, f"{_orphans(instance, ours)} to end")
    known = {instance.path(row) for row in instance.query("SELECT bucket, object_key FROM files")}
    known |= {
        instance.path(row)
        for row in instance.query("SELECT f.bucket, s.object_key FROM slices s JOIN files f ON f.job_id = s.job_id")
    }
    stored = {path for path in (instance.data_dir / "store").rglob("*") if path.is_file()}
    # What a put left behind that was killed is in a place of its own, and goes after a day.
    unknown = {path for path in stored - known if not path.name.startswith("recording") and path.suffix != ".part"}
    assert not unknown, f"nobody knows {sorted(map(str, unknown))[:5]}"


def _orphans(instance: Instance, server: int) -> dict[int, str]:
    """Processes of this data directory that are neither the server nor its children."""
    return {
        process: command
        for process, command in instance.processes().items()
        if process != server and _parent(process) != server
    }


def _parent(process: int) -> int:
    try:
        return int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def bound(story: Story) -> str:
    """For the report of a run."""
    return f"{story.plan.fault}" if story.plan.fault is not Fault.RECOVERY else "server and its recovery"
