"""Publishers over real sockets: what they send is in the spool, whatever way the connection ends."""

import asyncio
import socket
from pathlib import Path

import pytest

from livereel.domain.media import Tag
from livereel.ingest.config import IngestConfig
from livereel.testing.rtmp_client import PublisherBytes, PublishFailed, RtmpPublisher
from tests.integration.ingest.support import Recorder, delivered, recorder
from tests.unit.media import HEADERS, audio, gop

CONFIGS = {
    "both": IngestConfig(),
    "sweep": IngestConfig(low_water=0),
    "mark": IngestConfig(sweep_interval=1.0),
    "eager": IngestConfig(sweep_interval=0.02, low_water=1),
}


@pytest.fixture(params=CONFIGS, scope="module")
def config(request: pytest.FixtureRequest) -> IngestConfig:
    return CONFIGS[request.param]


def show(seconds: int, size: int = 3000) -> list[Tag]:
    return [*HEADERS, *(tag for start in range(0, seconds * 1000, 200) for tag in gop(start, size=size))]


def media(tags: list[Tag]) -> list[Tag]:
    """What a recording of `tags` holds: headers come with the beginning of the spool."""
    return [tag for tag in tags if tag.kind != 18]


def publisher(recorder: Recorder, name: str, **options: int) -> RtmpPublisher:
    return RtmpPublisher("127.0.0.1", recorder.server.port, "live", name, **options)


@pytest.mark.parametrize("chunk_size", [128, 4096, 65536])
async def test_a_polite_publisher_is_recorded_whole(tmp_path: Path, config: IngestConfig, chunk_size: int) -> None:
    tags = show(10)
    async with recorder(tmp_path, config) as rec:
        async with publisher(rec, "cam", chunk_size=chunk_size) as client:
            await client.push(tags, speed=0)
        await rec.end_of("cam")
        assert rec.spooled("cam") == media(tags)
        assert rec.targets[0].app == "live"
        assert not rec.registry.live()


async def test_the_last_frames_before_fin_are_kept(tmp_path: Path, config: IngestConfig) -> None:
    tags = show(4)
    async with recorder(tmp_path, config) as rec:
        client = publisher(rec, "cam")
        await client.start()
        await client.push(tags[:50], speed=0)
        await asyncio.sleep(0.1)
        await client.push(tags[50:], speed=0)
        client._writer.close()  # FIN right behind the last frame, no deleteStream
        assert "closed the connection" in await rec.end_of("cam")
        assert rec.spooled("cam") == media(tags)


async def test_the_last_frames_before_rst_are_kept(tmp_path: Path, config: IngestConfig) -> None:
    tags = show(4)
    async with recorder(tmp_path, config) as rec:
        client = publisher(rec, "cam")
        await client.start()
        await client.push(tags, speed=0)
        await delivered(client)
        sock = client._writer.get_extra_info("socket")
        # SO_LINGER with 0 s makes close() send RST.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
        client.abort()
        await rec.end_of("cam")
        assert rec.spooled("cam") == media(tags)


async def test_drain_brings_what_was_sent_until_now(tmp_path: Path) -> None:
    # Passes are far apart: what drain does not read, nobody reads.
    async with recorder(tmp_path, IngestConfig(sweep_interval=60, low_water=0)) as rec:
        client = publisher(rec, "cam")
        await client.start()
        await asyncio.sleep(0.05)
        for start in range(0, 2000, 200):
            tags = gop(start)
            await client.push(tags if start else [*HEADERS, *tags], speed=0)
            await delivered(client)
            stream = await rec.live("cam")
            rec.server.drain(stream.key)
            position = await rec.writers["cam"].written()
            assert rec.spooled("cam")[-len(tags) :] == tags
            assert position == rec.writers["cam"].position
        rec.server.drain(stream.key)  # nothing new, and no harm
        client.abort()


async def test_shutdown_drains_and_tells_the_publisher(tmp_path: Path) -> None:
    tags = show(2)
    async with recorder(tmp_path, IngestConfig(sweep_interval=60, low_water=0)) as rec:
        client = publisher(rec, "cam")
        await client.start()
        await asyncio.sleep(0.05)
        await client.push(tags, speed=0)
        await delivered(client)
        stopping = asyncio.create_task(rec.server.stop(5))
        with pytest.raises((PublishFailed, ConnectionError)) as told:
            await client._wait_for("nothing", 0)
        assert "the server is stopping" in str(told.value)
        client.abort()
        await stopping
        assert "stopping" in await rec.end_of("cam")
        assert rec.spooled("cam") == media(tags)
        with pytest.raises(OSError):
            await publisher(rec, "late").start()


async def test_a_cut_push_ends_with_its_reason_and_may_come_back(tmp_path: Path) -> None:
    tags = show(2)
    async with recorder(tmp_path, IngestConfig(sweep_interval=60, low_water=0)) as rec:
        client = publisher(rec, "cam")
        await client.start()
        await asyncio.sleep(0.05)
        await client.push(tags, speed=0)
        await delivered(client)
        stream = await rec.live("cam")
        await rec.server.cut(stream.key, "no more of this")
        assert rec.ends == {"cam": "no more of this"}  # and not some time later
        assert rec.spooled("cam") == media(tags)
        with pytest.raises(PublishFailed) as told:
            await client._wait_for("nothing", 0)
        assert (told.value.code, told.value.description) == ("NetStream.Publish.Denied", "no more of this")
        await client.wait_closed()
        client.abort()
        await rec.server.cut(stream.key, "nobody is there, and no harm")
        again = publisher(rec, "cam")
        await again.start()
        await rec.live("cam")
        again.abort()


async def test_a_second_publisher_is_told_bad_name_and_the_first_goes_on(tmp_path: Path, config: IngestConfig) -> None:
    tags = show(4)
    async with recorder(tmp_path, config) as rec:
        async with publisher(rec, "cam") as first:
            await first.push(tags[:20], speed=0)
            with pytest.raises(PublishFailed) as refused:
                await publisher(rec, "cam").start()
            assert refused.value.code == "NetStream.Publish.BadName"
            assert "is being pushed already, from 127.0.0.1" in refused.value.description
            await first.push(tags[20:], speed=0)
        await rec.end_of("cam")
        assert rec.spooled("cam") == media(tags)
        async with publisher(rec, "cam"):  # the key is free again
            await rec.live("cam")


async def test_refusals_and_faults_of_admission_reach_the_publisher(tmp_path: Path) -> None:
    async with recorder(tmp_path) as rec:
        for app, reason in (("forbidden", "takes no streams"), ("broken", "internal error")):
            with pytest.raises(PublishFailed, match=reason):
                await RtmpPublisher("127.0.0.1", rec.server.port, app, "cam").start()
        async with publisher(rec, "cam"):
            await rec.live("cam")


async def test_a_publisher_that_does_not_wait_for_answers(tmp_path: Path, config: IngestConfig) -> None:
    tags = show(2)
    async with recorder(tmp_path, config) as rec:
        rec.admission_delay = 0.2
        reader, writer = await asyncio.open_connection("127.0.0.1", rec.server.port)
        script = PublisherBytes("live", "cam")
        writer.write(script.opening() + script.media(tags) + script.closing())
        writer.write_eof()
        await rec.end_of("cam")
        assert rec.spooled("cam") == media(tags)
        writer.close()
        while await reader.read(65536):
            pass


async def test_a_publisher_that_leaves_during_admission_leaves_nothing_behind(tmp_path: Path) -> None:
    async with recorder(tmp_path) as rec:
        rec.admission_delay = 0.2
        client = publisher(rec, "cam")
        starting = asyncio.create_task(client.start())
        while not rec.targets:
            await asyncio.sleep(0.01)
        starting.cancel()
        await rec.end_of("cam")
        assert not rec.registry.live()


async def test_one_connection_may_publish_again(tmp_path: Path, config: IngestConfig) -> None:
    async with recorder(tmp_path, config) as rec:
        reader, writer = await asyncio.open_connection("127.0.0.1", rec.server.port)
        script = PublisherBytes("live", "one")
        writer.write(script.opening() + script.media(show(1)) + script.closing())
        await rec.end_of("one")
        script._stream = "two"
        writer.write(script.create_stream() + script.publish())
        await rec.live("two")
        writer.write(script.media(show(1)))
        writer.write_eof()
        await rec.end_of("two")
        assert rec.spooled("one") == rec.spooled("two") == media(show(1))
        writer.close()
        while await reader.read(65536):
            pass


async def test_many_publishers_at_once_lose_nothing(tmp_path: Path, config: IngestConfig) -> None:
    tags = show(3, size=1500)

    async def one(rec: Recorder, index: int) -> None:
        async with publisher(rec, f"cam{index}", chunk_size=4096 if index % 2 else 128) as client:
            await client.push(tags, speed=4)

    async with recorder(tmp_path, config) as rec:
        await asyncio.gather(*(one(rec, index) for index in range(30)))
        for index in range(30):
            await rec.end_of(f"cam{index}")
            assert rec.spooled(f"cam{index}") == media(tags)


async def test_audio_only(tmp_path: Path) -> None:
    async with recorder(tmp_path) as rec:
        async with publisher(rec, "radio") as client:
            await client.push([HEADERS[2], *(audio(index * 23) for index in range(130))])
            async with asyncio.timeout(60):
                await rec.writers["radio"].first_keyframe_written.wait()
        await rec.end_of("radio")
        spooled = rec.spooled("radio")
        assert spooled[0].payload == HEADERS[2].payload
        assert spooled[-1] == audio(129 * 23)
