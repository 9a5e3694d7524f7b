"""Whatever encoders stamp: through the real server into all three formats, every packet counted.

All streams are pushed at the same time, as fast as they were made; each test looks at one of them. The same stamps and
others are tried on the recorder alone in tests/integration/recorder/test_timestamps.py.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.codecs import is_sequence_header, is_video_keyframe, parse_video
from livereel.recorder.probe import FileFacts
from livereel.testing.media import assert_sound
from livereel.testing.rtmp_client import RtmpPublisher
from livereel.testing.source import SourceSpec, generate_tags
from tests.acceptance.api import DOMAIN
from tests.acceptance.receiver import Receiver
from tests.faults.instance import Instance

SECONDS = 6
HOUR = 3_600_000
WRAP = 1 << 32
SPEC = SourceSpec(size=(64, 36), fps=10, gop_seconds=0.5, sample_rate=24_000, channels=1)
#: One picture at 10 a second, and one frame of AAC.
SLACK = 0.1 + 1024 / 24_000

Change = Callable[[list[Tag]], list[Tag]]


def shifted(by: int, since: int = 0, kinds: tuple[int, ...] = (TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT)) -> Change:
    """All stamps of `kinds` from `since` (ms) on are off by so much."""

    def change(tags: list[Tag]) -> list[Tag]:
        return [
            tag._replace(timestamp=(tag.timestamp + by) % WRAP) if tag.kind in kinds and tag.timestamp >= since else tag
            for tag in tags
        ]

    return change


def both(*changes: Change) -> Change:
    def change(tags: list[Tag]) -> list[Tag]:
        for each in changes:
            tags = each(tags)
        return tags

    return change


def always(stamp: int) -> Change:
    return lambda tags: [tag._replace(timestamp=stamp) for tag in tags]


def only(kind: int) -> Change:
    return lambda tags: [tag for tag in tags if tag.kind in (kind, TAG_SCRIPT)]


def no_audio_after(since: int) -> Change:
    return lambda tags: [tag for tag in tags if tag.kind != TAG_AUDIO or tag.timestamp < since]


def pairs(tags: list[Tag]) -> list[Tag]:
    """Every second tag or so has the stamp of the one before of its track, from the second second on."""
    last: dict[int, int] = {}
    changed = []
    for number, tag in enumerate(tags):
        stamp = last[tag.kind] if number % 2 and tag.timestamp >= 1000 else tag.timestamp
        last[tag.kind] = stamp
        changed.append(tag._replace(timestamp=stamp))
    return changed


@dataclass(frozen=True)
class Case:
    """`seconds` is how long the recording must be; None where the stamps do not say."""

    change: Change
    seconds: float | None = SECONDS
    source: str = "plain"


CASES = {
    "as-sent": Case(lambda tags: tags),
    "b-frames": Case(lambda tags: tags, SECONDS + 0.2, source="b-frames"),  # video is shown two frames later
    "wraps-32-bits": Case(shifted(WRAP - 3000)),
    "passes-the-sign-bit": Case(shifted((1 << 31) - 3000)),
    "passes-24-bits": Case(shifted((1 << 24) - 3000)),
    "jumps-an-hour-ahead": Case(shifted(HOUR, 3000)),
    "jumps-ten-hours-ahead": Case(shifted(10 * HOUR, 3000)),
    "jumps-an-hour-back": Case(both(shifted(2 * HOUR), shifted(-HOUR, 2 * HOUR + 3000))),
    "begins-again-at-zero": Case(both(shifted(HOUR), shifted(-HOUR - 3000, HOUR + 3000))),
    "steps-back-a-little": Case(shifted(-120, 3000), SECONDS - 0.12),
    "all-zero": Case(always(0), None),
    "all-equal": Case(always(987_654_321), None),
    "equal-in-pairs": Case(pairs),
    "audio-only": Case(only(TAG_AUDIO)),
    "video-only": Case(only(TAG_VIDEO)),
    "audio-5-s-ahead": Case(shifted(5000, kinds=(TAG_AUDIO,)), SECONDS + 5),
    "audio-an-hour-ahead": Case(shifted(HOUR, kinds=(TAG_AUDIO,))),
    "audio-ends-halfway": Case(no_audio_after(3000)),
    "another-header-midway": Case(lambda tags: tags, source="two headers"),
}
FORMATS = ("HLS", "FLV", "MP4")


def sources() -> dict[str, list[Tag]]:
    plain = generate_tags(SECONDS, SPEC)
    half, other = (generate_tags(SECONDS / 2, SPEC, size=size) for size in ((64, 36), (96, 54)))
    later = [tag._replace(timestamp=tag.timestamp + SECONDS * 500) for tag in other]
    return {"plain": plain, "b-frames": generate_tags(SECONDS, SPEC, b_frames=2), "two headers": half + later}


@dataclass
class Told:
    """What was sent of each kind, and the files by format."""

    sent: dict[int, int]
    files: dict[str, list[FileFacts]]
    stored: list[dict[str, object]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Told]]:
    """All cases, recorded."""
    receiver = Receiver()
    server = Instance(tmp_path_factory.mktemp("stamps"), receiver)
    media = sources()
    try:
        server.set_up()
        for name in CASES:
            server.template(name, kind="CONTINUOUS_RECORD")

        async def push(name: str, case: Case) -> dict[int, int]:
            arrivals = media[case.source]
            changed = {id(tag): tag for tag in arrivals}
            tags = case.change(list(changed.values()))
            due = due_times(arrivals, tags)
            async with RtmpPublisher("127.0.0.1", server.rtmp_port, "live", f"{name}?vhost={DOMAIN}") as publisher:
                begun = time.monotonic()
                for tag, at in zip(tags, due, strict=True):
                    await asyncio.sleep(max(0.0, begun + at - time.monotonic()))
                    await publisher.push([tag], speed=0)
            frames = [tag.kind for tag in recordable(tags)]
            return {kind: frames.count(kind) for kind in (TAG_AUDIO, TAG_VIDEO)}

        async def push_all() -> list[dict[int, int]]:
            return list(await asyncio.gather(*(push(name, case) for name, case in CASES.items())))

        sent = asyncio.run(push_all())
        found = {}
        for name, counts in zip(CASES, sent, strict=True):
            task = server.wait_for_state(name, "completed")
            rows = server.files(task["id"])
            facts: dict[str, list[FileFacts]] = {each: [] for each in FORMATS}
            for row in rows:
                facts[row["format"]].append(assert_sound(server.path(row)))
            found[name] = Told(counts, facts, rows)
        yield found
        server.check_logs()
    finally:
        server.clean_up()
        receiver.close()


def recordable(tags: list[Tag]) -> list[Tag]:
    """The frames from the first key frame on: what comes before it cannot be shown."""
    frames = [
        tag
        for tag in tags
        if not is_sequence_header(tag.kind, tag.payload)
        and not (tag.kind == TAG_VIDEO and parse_video(tag.payload).is_end_of_sequence)
    ]
    keys = [number for number, tag in enumerate(frames) if tag.kind == TAG_VIDEO and is_video_keyframe(tag.payload)]
    return frames[keys[0] if keys else 0 :]


def due_times(arrivals: list[Tag], tags: list[Tag]) -> list[float]:
    """When each of `tags` is sent (s): as the tag of `arrivals` with the same payload was made."""
    waiting = iter(arrivals)
    times = []
    for tag in tags:
        original = next(each for each in waiting if each.payload is tag.payload)
        times.append(original.timestamp / 1000)
    return times


@pytest.mark.parametrize("record_format", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_zoo(told: dict[str, Told], name: str, record_format: str) -> None:
    """Nothing is lost, time goes forward (`assert_sound`), and it takes as long as the media."""
    case, files = CASES[name], told[name].files[record_format]
    assert files
    if name != "another-header-midway":
        assert len(files) == 1
    for kind in (TAG_AUDIO, TAG_VIDEO):
        tracks = [file.audio if kind == TAG_AUDIO else file.video for file in files]
        assert sum(track.packets for track in tracks if track) == told[name].sent[kind]
    if case.seconds is not None:
        assert sum(map(span, files)) == pytest.approx(case.seconds, abs=SLACK * len(files))
    rows = [row for row in told[name].stored if row["format"] == record_format]
    assert [row["duration"] for row in rows] == [pytest.approx(span(file), abs=SLACK) for file in files]


def span(file: FileFacts) -> float:
    """Seconds from where the first packet is decoded to where the last has been shown."""
    tracks = [track for track in (file.video, file.audio) if track and track.packets]
    ends = [max(track.pts) + min((b - a for a, b in pairwise(track.dts)), default=0.0) for track in tracks]
    return max(ends) - min(track.dts[0] for track in tracks)
