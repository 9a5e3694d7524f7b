"""Two encoders push one stream; the second takes over when the first breaks, and the recording goes on."""

import asyncio
import itertools
import time
from typing import Any

import pytest
from huaweicloudsdklive.v1 import (
    DomainStreamBackupInfo,
    ListLiveStreamsOnlineRequest,
    ModifyDomainStreamBackupRequest,
)

from livereel.domain.media import Tag
from livereel.flv.tags import TagReader
from livereel.testing.rtmp_client import PublishFailed, RtmpPublisher
from tests.acceptance.conftest import Footage, Push, wait_received, wait_recorded
from tests.acceptance.footage import MediaFile, check_piece_of
from tests.acceptance.server import LiveServer, manifest_beside, wait_until

BACKUP = "backup.example.com"
FORMATS = ("FLV", "MP4")  # HLS has the same frames in other bytes


@pytest.fixture(scope="module")
def server(shared_server: LiveServer) -> LiveServer:
    """The shared server, with a domain that takes several pushes of one stream."""
    sdk = shared_server.sdk()
    sdk.create_domain(BACKUP)
    set_backup(sdk.client, True)
    return shared_server


def set_backup(client: Any, enabled: bool) -> None:
    body = DomainStreamBackupInfo(publish_domain=BACKUP, stream_backup_enable=enabled)
    client.modify_domain_stream_backup(ModifyDomainStreamBackupRequest(body=body))


def tags_of(footage: MediaFile, shift: int = 0) -> list[Tag]:
    tags = TagReader().feed(footage.path.read_bytes())
    return [tag._replace(timestamp=tag.timestamp + shift) for tag in tags]


def publisher(server: LiveServer, stream: str) -> RtmpPublisher:
    return RtmpPublisher("127.0.0.1", server.rtmp_port, "live", stream, tc_url=f"rtmp://{BACKUP}/live")


async def broken(server: LiveServer, stream: str, source: MediaFile, first: list[Tag], second: list[Tag]) -> float:
    """Record two pushes of a stream that run side by side, until the first one broke and for a while after that.

    Gives by how many seconds what the second one sent may have come later than what the first one sent.
    """
    sdk, late = server.sdk(), [0.0]
    one, two = publisher(server, stream), publisher(server, stream)
    await one.start()
    began = time.monotonic()
    pushing = [asyncio.create_task(one.push(first)), asyncio.create_task(watch(server, late))]
    await asyncio.sleep(0.2)
    await two.start()
    behind = time.monotonic() - began
    pushing.append(asyncio.create_task(two.push(second)))
    try:
        await asyncio.to_thread(sdk.start_when_live, stream, domain=BACKUP)
        await asyncio.to_thread(wait_recorded, server, source, 5)
        pushing[0].cancel()
        one.abort()
        await asyncio.to_thread(wait_recorded, server, source, 4)
        await asyncio.to_thread(sdk.stop, stream, domain=BACKUP)
    finally:
        for task in pushing:
            task.cancel()
        await asyncio.gather(*pushing, return_exceptions=True)
        two.abort()
    return behind + 2 * max(late)


async def watch(server: LiveServer, late: list[float]) -> None:
    """Note how long (s) the server or this process stood still: what was sent meanwhile arrives at once afterwards."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.bare().call, "GET", "/healthz", sign=False)
        late.append(time.monotonic() - began - 0.05)


def recorded(server: LiveServer, stream: str) -> dict[str, MediaFile]:
    files = server.sdk().wait_contents(stream, len(FORMATS), domain=BACKUP)
    return {item.record_format: MediaFile(server.bucket / item.obs_addr.object) for item in files}


def test_another_encoder_takes_over_at_its_last_key_frame(server: LiveServer, footage: Footage, stream: str) -> None:
    server.sdk().create_template(stream, formats=FORMATS, domain=BACKUP)  # no merge window
    source = footage()
    behind = asyncio.run(broken(server, stream, source, tags_of(source), tags_of(source, 1_000_000)))

    numbers = {packet.digest: number for number, packet in enumerate(source.video)}
    for name, file in recorded(server, stream).items():
        check_steady(file)
        found = [numbers[packet.digest] for packet in file.video]
        [joint] = [at for at in range(1, len(found)) if found[at] != found[at - 1] + 1]
        before, after = found[joint - 1], found[joint]
        assert source.video[after].key, name
        overlap = (before + 1 - after) / 30
        assert 0 <= overlap < 1 + 1 + behind + 0.5, (
            name,
            overlap,
        )  # a group of pictures, the margin, what is under way
        keys = [number for number in sorted(set(found)) if source.video[number].key]
        assert keys == list(range(keys[0], keys[-1] + 1, 30)), name
        assert file.video[joint].key
    report = manifest_beside(recorded(server, stream)["flv"].path)
    assert report["end_reason"] == "stop"
    for written in report["files"]:
        [gap] = written["gaps"]
        assert (gap["reason"], gap["duration"]) == ("takeover", 0)


def test_the_same_encoder_over_two_ways_leaves_no_trace(server: LiveServer, footage: Footage, stream: str) -> None:
    server.sdk().create_template(stream, formats=FORMATS, domain=BACKUP)
    asyncio.run(side_by_side(server, stream, footage()))
    for file in recorded(server, stream).values():
        file.check_whole()
        check_piece_of(file, footage())
    taken_over = [event for event in server.events() if event["event"] == "publish_taken_over"]
    assert [event["seamless"] for event in taken_over if event["stream"].endswith(stream)] == [True]


async def side_by_side(server: LiveServer, stream: str, source: MediaFile) -> None:
    """Both ways bring each tag at the same time; one ends in the middle of a group of pictures."""
    sdk = server.sdk()
    one, two = publisher(server, stream), publisher(server, stream)
    await one.start()
    await two.start()
    enough = asyncio.Event()

    async def both() -> None:
        begun, broken = asyncio.get_running_loop().time(), False
        for tag in tags_of(source):
            await asyncio.sleep(max(0.0, begun + tag.timestamp / 1000 - asyncio.get_running_loop().time()))
            if not broken and enough.is_set() and 400 < tag.timestamp % 1000 < 600:
                broken = True
                one.abort()
            if not broken:
                await one.push([tag])
            await two.push([tag])

    pushing = asyncio.create_task(both())
    try:
        await asyncio.to_thread(sdk.start_when_live, stream, domain=BACKUP)
        await asyncio.to_thread(wait_recorded, server, source, 3)
        enough.set()
        await asyncio.to_thread(wait_until, lambda: said(server, "publish_taken_over", stream), 60, "the take-over")
        await asyncio.to_thread(wait_recorded, server, source, 2)
        await asyncio.to_thread(sdk.stop, stream, domain=BACKUP)
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        two.abort()
        one.abort()


def test_ffmpeg_killed_beside_ffmpeg(server: LiveServer, ffmpeg_push: Push, footage: Footage, stream: str) -> None:
    sdk = server.sdk()
    sdk.create_template(stream, formats=("FLV",), domain=BACKUP)
    url = server.push_url(stream, domain=BACKUP)
    first = ffmpeg_push(url)
    sdk.start_when_live(stream, domain=BACKUP)
    second = ffmpeg_push(url)
    wait_until(lambda: said(server, "standby", stream), 60, "the second push")
    wait_received(server, footage(), 6, since=server.received())  # of two encoders
    first.kill()
    wait_until(lambda: said(server, "publish_taken_over", stream), 60, "the take-over")
    wait_recorded(server, footage(), 2)
    request = ListLiveStreamsOnlineRequest(publish_domain=BACKUP, app="live", stream=stream)
    online = sdk.client.list_live_streams_online(request)
    assert [item.stream for item in online.streams] == [stream]
    sdk.stop(stream, domain=BACKUP)
    second.stop()
    file = MediaFile(server.bucket / sdk.wait_contents(stream, 1, domain=BACKUP)[0].obs_addr.object)
    check_steady(file)
    wait_until(lambda: said(server, "publish_done", stream), 60, "the end")


def check_steady(file: MediaFile) -> None:
    """Frames are decoded one after the other: the joint is no hole. Where a push breaks, B-frames may be missing."""
    steps = [after.dts - before.dts for before, after in itertools.pairwise(file.video)]
    assert min(steps) > 0, file.path
    assert max(steps) < 0.1, file.path


def said(server: LiveServer, event: str, stream: str) -> bool:
    return any(line["event"] == event and str(line.get("stream")).endswith(f"/{stream}") for line in server.events())


def test_without_backup_the_second_is_refused(server: LiveServer, stream: str) -> None:
    async def second() -> None:
        async with publisher(server, stream):
            set_backup(server.sdk().client, False)
            try:
                with pytest.raises(PublishFailed, match="is being pushed already"):
                    await publisher(server, stream).start()
            finally:
                set_backup(server.sdk().client, True)

    asyncio.run(second())
