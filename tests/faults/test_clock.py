"""The wall clock is set while a whole server works: only names and plans follow it, and time itself goes on."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from livereel.app import Server
from livereel.control import planner
from livereel.domain.keys import StreamKey
from livereel.domain.naming import file_key, format_time
from livereel.domain.templates import RecordFormat, RecordType
from livereel.observe.clock import SystemClock
from livereel.settings import Settings
from livereel.testing.media import assert_sound
from livereel.testing.rtmp_client import PublishFailed, RtmpPublisher
from tests.acceptance.api import BUCKET, Answer, Bare, Credentials
from tests.faults.numbered import Media, numbers_in

HOUR = 3600.0
DOMAIN = "publish.livereel.internal"
PATIENCE = 60.0
FORMATS = ("HLS", "FLV", "MP4")


class SettableClock(SystemClock):
    """The system's clocks; the wall clock of the two is wrong by `ahead` seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class Node:
    """A server in this process, and how it is asked."""

    def __init__(self, directory: Path) -> None:
        self.clock = SettableClock()
        self.directory = directory
        loopback = {"host": "127.0.0.1", "port": 0}
        self.server = Server(
            Settings(
                data_dir=directory,
                rtmp=loopback,
                api=loopback | {"rate_limits": False},
                recorder={"workers": 1},
            ),
            self.clock,
        )

    async def start(self) -> None:
        await self.server.start()
        key = self.server.first_key
        assert key is not None
        self._bare = Bare(
            f"http://127.0.0.1:{self.server.api_port}", Credentials(key.access, key.secret, key.project_id)
        )

    async def call(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Answer:
        """A request signed by the server's own clock, as if all machines had been set."""
        full = f"/v1/{{project}}/{path}"
        return await asyncio.to_thread(self._bare.call, method, full, query, body, at=self.clock.now())

    async def template(self, stream: str, *, kind: str = "COMMAND_RECORD", merge: int = 0, cycle: int = 900) -> str:
        common = {"record_cycle": cycle, "record_max_duration_to_merge_file": merge}
        config = {
            "record_format": list(FORMATS),
            "obs_addr": {"bucket": BUCKET, "location": "cn-north-4", "object": f"{stream}/"},
            **{f"{name.lower()}_config": common for name in FORMATS},
        }
        body = {"publish_domain": DOMAIN, "app": "live", "stream": stream, "record_type": kind}
        answer = await self.call("POST", "record/rules", body=body | {"default_record_config": config})
        assert answer.status == 201, answer
        return str(answer.json["id"])

    async def control(self, action: str, stream: str) -> int:
        body = {"publish_domain": DOMAIN, "app": "live", "stream": stream}
        return (await self.call("POST", "record/control", {"action": action}, body)).status

    async def start_when_live(self, stream: str) -> float:
        """START until it is answered with 200; when that was (Unix time)."""
        async with asyncio.timeout(PATIENCE):
            while await self.control("START", stream) != 200:
                await asyncio.sleep(0.2)
            return self.clock.now()

    async def recording(self, stream: str) -> None:
        """Wait until the stream is recorded."""
        query = "SELECT count(*) FROM tasks WHERE stream = ? AND state = 'recording'"
        async with asyncio.timeout(PATIENCE):
            with closing(sqlite3.connect(f"file:{self.directory / 'catalogue.db'}?mode=ro", uri=True)) as catalogue:
                while not catalogue.execute(query, (stream,)).fetchone()[0]:
                    await asyncio.sleep(0.1)

    async def files(self, stream: str, count: int) -> list[dict[str, Any]]:
        """The record files of a stream, once there are so many."""
        query = {"publish_domain": DOMAIN, "stream": stream, "start_time": "2000-01-01T00:00:00Z", "limit": "100"}
        query["end_time"] = "2000-12-31T00:00:00Z"
        now = self.clock.now()
        for name, at in (("start_time", now - 23 * HOUR), ("end_time", now + 23 * HOUR)):
            query[name] = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.call("GET", "record/contents", query)
                assert answer.status == 200, answer
                found: list[dict[str, Any]] = answer.json["record_contents"]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.2)

    def path(self, file: dict[str, Any]) -> Path:
        return self.directory / "store" / BUCKET / str(file["obs_addr"]["object"])


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path / "data")
    await node.start()
    try:
        yield node
    finally:
        await node.server.stop()


class Push:
    """How far a push has come: the number behind the last packet sent, and when each was (Unix time)."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.sent_at: list[float] = []

    def __call__(self) -> int:
        return self._first + len(self.sent_at)


@asynccontextmanager
async def pushed(node: Node, media: Media, stream: str, first: int = 0) -> AsyncIterator[Push]:
    """Media pushed in real time. A push of the same stream that is just ending is waited for."""
    sent = Push(first)

    async def push(publisher: RtmpPublisher) -> None:
        begun, zero = time.monotonic(), media.packets[first].tag.timestamp
        await publisher.push(media.headers, speed=0)
        for tag, _ in media.packets[first:]:
            await asyncio.sleep(max(0.0, begun + (tag.timestamp - zero) / 1000 - time.monotonic()))
            sent_at = node.clock.now()
            await publisher.push([tag._replace(timestamp=tag.timestamp - zero)], speed=0)
            sent.sent_at.append(sent_at)

    async with asyncio.timeout(PATIENCE):
        while True:
            publisher = RtmpPublisher("127.0.0.1", node.server.rtmp_port, "live", stream)
            try:
                await publisher.start()
                break
            except PublishFailed:
                await asyncio.sleep(0.2)
    pushing = asyncio.create_task(push(publisher))
    try:
        yield sent
        assert not pushing.done(), "the push was cut off"
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await publisher.stop()


async def until_sent(sent: Callable[[], int], count: int) -> None:
    goal = sent() + count
    async with asyncio.timeout(PATIENCE):
        while sent() < goal:
            await asyncio.sleep(0.05)


async def test_clock_set_while_recording(node: Node, numbered: Media) -> None:
    """By hours, both ways, more than a record cycle: one file of each format, as long as what was sent."""
    await node.template("cam", merge=60)
    async with pushed(node, numbered, "cam") as sent:
        begun, answered = sent.sent_at, await node.start_when_live("cam")
        for ahead in (5 * HOUR, -7 * HOUR, 0.0):
            await until_sent(sent, 20)
            node.clock.ahead = ahead
        await until_sent(sent, 20)
        # The push breaks, and the clock is set inside the merge window; and once more, the other way.
        last = sent()
    node.clock.ahead = -5 * HOUR
    resumed = numbered.key_from(last + 10)
    async with pushed(node, numbered, "cam", resumed) as sent:
        await until_sent(sent, 20)
        broken = sent()
    node.clock.ahead = 9 * HOUR
    again = numbered.key_from(broken + 10)
    async with pushed(node, numbered, "cam", again) as sent:
        await until_sent(sent, 20)
        assert await node.control("STOP", "cam") == 200
    files = await node.files("cam", 3)
    assert sorted(file["record_format"].upper() for file in files) == sorted(FORMATS)
    for file in files:
        facts = assert_sound(node.path(file))
        numbers = sorted(numbers_in(node.path(file), numbered))
        first = [number for number in numbers if number < last]
        assert first == list(range(first[0], last))
        second = [number for number in numbers if last <= number < broken]
        assert second == list(range(resumed, broken))
        third = numbers[len(first) + len(second) :]
        assert third == list(range(again, again + len(third))) and len(third) >= 20
        assert facts.video is not None
        length = facts.video.dts[-1] - facts.video.dts[0]
        assert file["duration"] == pytest.approx(length, abs=1.0)  # whole seconds on the wire
        # What was sent, and the time between the pushes as the media or the clocks tell it: never hours.
        sent_seconds = (len(numbers) / (numbers[-1] - numbers[0] + 1)) * (
            numbered.time(numbers[-1]) - numbered.time(numbers[0])
        )
        assert sent_seconds - 1 < length < sent_seconds + 30
        # By the clock before it was set, back to the last key frame before START.
        assert named_between(file, begun[numbers[0]], answered), file["obs_addr"]["object"]


async def test_the_same_second_twice(node: Node, numbered: Media) -> None:
    """The clock is set back to where a recording began: another name, and no waiting for the old time to come."""
    await node.template("cam")
    seen = []
    async with pushed(node, numbered, "cam") as sent:
        for _ in range(2):
            if seen:
                node.clock.ahead -= node.clock.now() - seen[0]
            seen.append(node.clock.now())
            await node.start_when_live("cam")
            await until_sent(sent, 15)
            assert await node.control("STOP", "cam") == 200
            node.clock.ahead += 11  # the pause that the API wants between STOP and START
    files = await node.files("cam", 6)
    names = [file["obs_addr"]["object"] for file in files]
    assert len(set(names)) == len(names) == 6
    assert all(numbers_in(node.path(file), numbered) for file in files)
    firsts = {file["record_format"]: set() for file in files}
    for file in files:
        firsts[file["record_format"]].add(numbers_in(node.path(file), numbered)[0])
    assert all(len(each) == 2 for each in firsts.values()), "one file was written over the other"


async def test_plans_follow_the_wall_clock(node: Node, numbered: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of the next afternoon begins when the clock says so, and ends when it does."""
    monkeypatch.setattr(planner, "LOOK_LONGEST", 0.3)
    template = await node.template("cam", kind="PLAN_RECORD")
    now = node.clock.now()
    begin, end = (int(now + hours * HOUR) for hours in (20, 22))
    body = {
        "template_id": template,
        "domain": DOMAIN,
        "app": "live",
        "stream": "cam",
        "start_time": begin,
        "end_time": end,
    }
    answer = await node.call("POST", "schedule/record/tasks", body=body)
    assert answer.status in (200, 201), answer
    async with pushed(node, numbered, "cam") as sent:
        await until_sent(sent, 15)
        node.clock.ahead = 20 * HOUR + 60
        await node.recording("cam")
        await until_sent(sent, 40)
        until = node.clock.now()
        node.clock.ahead = 22 * HOUR + 60
        files = await node.files("cam", 3)
    for file in files:
        assert file["duration"] < 2 * PATIENCE  # what it waits for takes no longer
        assert named_between(file, begin, until), file["obs_addr"]["object"]


def named_between(file: dict[str, Any], begin: float, end: float) -> bool:
    """Whether the name of a file says that it began between two Unix times."""
    named = [format_time(begin + offset) for offset in range(int(end - begin) + 2)]
    return any(name in file["obs_addr"]["object"] for name in named)


@pytest.fixture
def berlin() -> Iterator[None]:
    """The time zone of this process has daylight saving."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_names_know_no_daylight_saving() -> None:
    """The hour that comes twice on 25 October 2026 has names of its own each time, in order."""
    begin = datetime(2026, 10, 24, 23, 0, tzinfo=UTC).timestamp()
    times = [begin + 600 * step for step in range(24)]
    assert len({time.strftime("%H:%M", time.localtime(at)) for at in times}) < len(times)
    keys = [
        file_key(
            StreamKey(DOMAIN, "live", "cam"),
            RecordType.COMMAND,
            RecordFormat.FLV,
            object_root="",
            prefix="{stream}-{file_start_time}",
            started_at=at,
        )
        for at in times
    ]
    assert keys == sorted(set(keys))
