"""record/indexes over rows and objects as recordings leave them behind, through the official SDK."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huaweicloudsdklive.v1 import CreateRecordIndexRequest, LiveClient, RecordIndexRequestBody

from livereel.domain.keys import StreamKey
from livereel.domain.recordings import RecordFile, Slice, SpoolPosition, Task
from livereel.domain.states import FileState, TaskState
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template, default_prefix

from .conftest import Api
from .sdk import refusal, run
from .test_wire import make_domain

DOMAIN = "push.example.com"
KEY = StreamKey(DOMAIN, "live", "cam01")
STREAM = {"publish_domain": DOMAIN, "app": "live", "stream": "cam01"}
PATH = "record/indexes"
HLS = RecordFormat.HLS


def at(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Recordings:
    """Makes tasks, files and slices of `KEY`. Times are seconds after `began`, which is two hours ago."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.began = float(int(api.clock.now()) - 7200)
        self._made = 0

    async def file(
        self,
        start: float,
        slices: int,
        *,
        bucket: str = "rec-a",
        record_format: RecordFormat = HLS,
        growing: bool = False,
        ts_prefix: str | None = None,
    ) -> RecordFile:
        """A file of `slices` slices of 10 s each."""
        self._made += 1
        number, project = f"{self._made:032x}", self.api.key.project_id
        config = FormatConfig(3600, default_prefix(record_format))
        config = replace(config, ts_prefix=ts_prefix) if ts_prefix else config
        now = self.began + start
        template = Template(
            id=number,
            project_id=project,
            domain=DOMAIN,
            app="live",
            stream="*",
            record_type=RecordType.COMMAND,
            address=ObsAddress(bucket, "here"),
            formats={record_format: config},
            created_at=now,
            updated_at=now,
        )
        task = Task(number, project, KEY, RecordType.COMMAND, template, TaskState.COMPLETED, "node-1", now)
        directory = f"Record/a b/file-{self._made}"
        file = RecordFile(
            job_id=number,
            asset_id=number,
            task_id=number,
            project_id=project,
            key=KEY,
            record_type=RecordType.COMMAND,
            format=record_format,
            sequence=1,
            state=FileState.WRITING if growing else FileState.STORED,
            bucket=bucket,
            location="here",
            object_key=f"{directory}/cam01.m3u8",
            start=SpoolPosition(1, 13),
            started_at=now,
            ended_at=None if growing else now + 10 * slices,
            width=1280,
            height=720,
        )
        pieces = []
        for index in range(slices if record_format is HLS else 0):
            begins = now + 10 * index
            name = f"{directory}/{int(begins)}_{int(begins + 10)}_{index}.ts"
            pieces.append(Slice(number, index, name, begins + 0.25, begins + 10.25, 10.0, 188))
            await self.api.services.stores.get(bucket).put_bytes(name, f"slice {self._made}/{index}".encode())
        async with self.api.catalogue.write() as uow:
            await uow.tasks.add(task)
            await uow.files.add(file)
            await uow.slices.add_many(pieces)
        return file

    def body(self, start: float, end: float, **more: Any) -> dict[str, Any]:
        return STREAM | {"start_time": at(self.began + start), "end_time": at(self.began + end)} | more


@pytest.fixture
async def recordings(api: Api) -> Recordings:
    await make_domain(api)
    return Recordings(api)


async def listed(api: Api, url: str) -> tuple[list[str], list[str]]:
    """The tags of a playlist, and what its slices hold when a player follows them."""
    reply = await api.client.get(url)
    assert reply.status_code == 200, reply.text
    lines = reply.text.splitlines()
    found = []
    for line in lines:
        if not line.startswith("#"):
            piece = await api.client.get(httpx2.URL(reply.url).join(line))
            assert piece.status_code == 200, line
            found.append(piece.text)
    return [line for line in lines if line.startswith("#")], found


async def test_an_index_across_files_and_reconnects(sdk: LiveClient, api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 3)
    await recordings.file(60, 3)
    await recordings.file(100, 2, growing=True)
    began = datetime.fromtimestamp(recordings.began, UTC)
    request = RecordIndexRequestBody(
        publish_domain=DOMAIN,
        app="live",
        stream="cam01",
        start_time=began + timedelta(seconds=25),
        end_time=began + timedelta(seconds=105),
    )
    made = await run(sdk.create_record_index, CreateRecordIndexRequest(body=request))
    assert made.status_code == 201
    assert made.x_request_id
    assert (made.publish_domain, made.app, made.stream) == (DOMAIN, "live", "cam01")
    assert made.start_time.timestamp() == recordings.began + 20
    assert made.end_time.timestamp() == recordings.began + 110
    assert (made.duration, made.width, made.height) == (50, 1280, 720)
    assert (made.location, made.bucket) == ("here", "rec-a")
    times = [datetime.fromtimestamp(recordings.began + seconds, UTC).strftime("%Y%m%d%H%M%S") for seconds in (20, 110)]
    assert made.object == f"Index/{DOMAIN}/live/cam01/cam01-{times[0]}-{times[1]}.m3u8"

    tags, slices = await listed(api, made.index_url)
    assert slices == ["slice 1/2", "slice 2/0", "slice 2/1", "slice 2/2", "slice 3/0"]
    assert tags[:6] == [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        "#EXT-X-TARGETDURATION:10",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    assert tags[-1] == "#EXT-X-ENDLIST"
    kinds = [tag.partition(":")[0] for tag in tags[6:-1]]
    date, length, cut = "#EXT-X-PROGRAM-DATE-TIME", "#EXTINF", "#EXT-X-DISCONTINUITY"
    assert kinds == [date, length, cut, date, length, date, length, date, length, cut, date, length]
    assert tags[6] == f"{date}:{at(recordings.began + 20)[:-1]}.250Z"


async def test_the_index_works_from_the_directory_of_the_bucket(api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 2)
    reply = await api.call("POST", PATH, recordings.body(0, 20))
    assert reply.status_code == 201, reply.text
    playlist: Path = api.store_root / "rec-a" / reply.json()["object"]
    names = [line for line in playlist.read_text().splitlines() if not line.startswith("#")]
    assert names[0].startswith("../../../../Record/a%20b/file-1/")
    assert [(playlist.parent / name.replace("%20", " ")).read_text() for name in names] == ["slice 1/0", "slice 1/1"]


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("{app}/{stream}/{start_time_unix}-{end_time_unix}", "live/cam01/{0}-{1}.m3u8"),
        ("show.m3u8", "show.m3u8"),
        ("Record/a b/whole", "Record/a b/whole.m3u8"),
    ],
)
async def test_the_name_of_the_index(api: Api, recordings: Recordings, target: str, key: str) -> None:
    await recordings.file(0, 2)
    reply = await api.call("POST", PATH, recordings.body(0, 20, object=target))
    assert reply.status_code == 201, reply.text
    began = int(recordings.began)
    assert reply.json()["object"] == key.format(began, began + 20)
    assert (await listed(api, reply.json()["index_url"]))[1] == ["slice 1/0", "slice 1/1"]


async def test_the_end_may_be_in_the_future(api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 2)
    assert (await api.call("POST", PATH, recordings.body(0, 9000))).status_code == 201


async def refused(api: Api, body: dict[str, Any]) -> str:
    reply = await api.call("POST", PATH, body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "LIVE.100011001"), reply.text
    return str(reply.json()["error_detail"])


async def test_nothing_was_recorded(sdk: LiveClient, api: Api, recordings: Recordings) -> None:
    request = RecordIndexRequestBody(
        publish_domain=DOMAIN,
        app="live",
        stream="cam01",
        start_time=at(recordings.began),
        end_time=at(recordings.began + 10),
    )
    error = await refusal(sdk.create_record_index, CreateRecordIndexRequest(body=request))
    assert (error.status_code, error.error_code) == (400, "LIVE.100011001")
    await recordings.file(0, 2)
    assert "no record info found" in await refused(api, recordings.body(100, 110))
    assert "no record info found" in await refused(api, recordings.body(0, 20, stream="cam02"))
    await recordings.file(100, 0, growing=True)
    assert "no ts info found" in await refused(api, recordings.body(100, 110))


async def test_recorded_without_hls(api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 2, record_format=RecordFormat.MP4)
    assert "MP4 only" in await refused(api, recordings.body(0, 20))


async def test_another_name_for_slices(api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 2, ts_prefix="{stream}_{ts_sequence_number}")
    assert "record_ts_prefix" in await refused(api, recordings.body(0, 20))


async def test_slices_in_several_buckets(api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 2)
    await recordings.file(60, 2, bucket="rec-b")
    assert "several buckets" in await refused(api, recordings.body(0, 70))
    assert (await api.call("POST", PATH, recordings.body(0, 30))).status_code == 201


async def test_an_index_replaces_no_recording(api: Api, recordings: Recordings) -> None:
    file = await recordings.file(0, 2)
    assert "name another" in await refused(api, recordings.body(0, 20, object=file.object_key))


async def test_recordings_of_another_project_are_not_there(api: Api, recordings: Recordings) -> None:
    file = await recordings.file(0, 2)
    async with api.catalogue.write() as uow:
        await uow.files.update(replace(file, project_id="1" * 32))
    assert "no record info found" in await refused(api, recordings.body(0, 20))


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        (8000, 8100, "later than now"),
        (-30 * 86_400, 20, "30 days"),
        (20, 20, "after start_time"),
        (20, 10, "after start_time"),
        (0, 12 * 3600 + 1, "12 hours"),
    ],
)
async def test_times_out_of_range(api: Api, recordings: Recordings, start: float, end: float, named: str) -> None:
    await recordings.file(0, 2)
    assert named in await refused(api, recordings.body(start, end))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"publish_domain": "other.example.com"}, "other.example.com"),
        ({"app": "*"}, "app"),
        ({"stream": ""}, "stream (body)"),
        ({"start_time": 5}, "start_time (body)"),
        ({"start_time": None}, "start_time (body)"),
        ({"object": "../../x"}, "object key"),
        ({"object": "{file_start_time}"}, "file_start_time"),
        ({"object": "a" * 801}, "object (body)"),
    ],
)
async def test_refused_members(api: Api, recordings: Recordings, changes: dict[str, Any], named: str) -> None:
    await recordings.file(0, 2)
    assert named in await refused(api, recordings.body(0, 20, **changes))


async def test_the_call_needs_no_permission(api: Api, recordings: Recordings) -> None:
    await recordings.file(0, 2)
    user = await api.iam.create_user("viewer", api.key.project_id, actions=["live:domain:getDomains"])
    key = await api.iam.create_key(user.id)
    assert (await api.call("GET", "record/rules", key=key)).status_code == 403
    assert (await api.call("POST", PATH, recordings.body(0, 20), key=key)).status_code == 201
