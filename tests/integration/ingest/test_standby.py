"""Two publishers of one stream over real sockets: the first falls silent without a word, the second takes over."""

import asyncio
from pathlib import Path

from livereel.domain.keys import StreamKey
from livereel.domain.media import Tag
from livereel.domain.messages import Publish
from livereel.ingest.config import IngestConfig
from livereel.rtmp.session import Timeouts
from livereel.rtmp.url import PublishTarget
from livereel.spool.writer import SpoolWriter
from livereel.streams.standby import MARGIN, Push
from livereel.testing.rtmp_client import RtmpPublisher
from tests.integration.ingest.support import Recorder
from tests.unit.media import HEADERS, gop

KEY = StreamKey("publish.example.com", "live", "cam")
SILENCE = 4.0  # seconds until a silent publisher counts as gone; half a minute in earnest


class Backup(Recorder):
    """Records the one stream, whoever pushes it."""

    writer: SpoolWriter

    async def admit(self, target: PublishTarget, client_ip: str, node_ip: str) -> Push:
        now = self.clock.now()
        live = self.registry.get(KEY)
        publish = Publish(f"publish-{2 if live else 1}", client_ip, node_ip, target.query, now)
        if live is not None:
            return self.registry.stand_by(live, publish, now)
        stream = self.registry.open(KEY, publish, "project", now)
        self.writer = self.pool.open("task", publish.id)
        stream.attach(self.writer, now)
        return stream

    async def ended(self, push: Push, reason: str) -> None:  # type: ignore[override]
        self.server.drain(KEY)
        publish = push.publish  # of a stream that goes on it is another's afterwards
        departure = self.registry.leave(push, self.clock.now())
        async with self.changed:
            self.ends[publish.id] = reason
            self.changed.notify_all()
        if departure.is_over:
            await self.writer.close()


def seconds(offset: int) -> list[Tag]:
    """A key frame every 200 ms, for twenty seconds."""
    headers = [tag._replace(timestamp=offset) for tag in HEADERS]
    return [*headers, *(tag for start in range(0, 20_000, 200) for tag in gop(offset + start))]


def stamps(tags: list[Tag], first: int) -> list[int]:
    return [tag.timestamp for tag in tags if tag.payload[:2] == b"\x17\x01" and tag.timestamp >= first]


async def measure(late: list[float]) -> None:
    """Note by how much (s) short sleeps come back late: what stands still then arrives at once afterwards."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.05
        await asyncio.sleep(0.05)
        late.append(loop.time() - due)


async def test_no_key_frame_is_lost_however_late_the_break_is_noticed(tmp_path: Path) -> None:
    node = Backup(tmp_path, IngestConfig(timeouts=Timeouts(idle=SILENCE)))
    await node.server.start()
    one, two = (RtmpPublisher("127.0.0.1", node.server.port, "live", "cam") for _ in range(2))
    pushing, late = [], [0.0]
    try:
        await one.start()
        await two.start()
        first, second = seconds(0), seconds(500_000)
        pushing = [
            asyncio.create_task(measure(late)),
            asyncio.create_task(one.push([tag for tag in first if tag.timestamp < 2000])),
            asyncio.create_task(two.push(second)),
        ]
        await pushing[1]  # and not another byte
        assert f"nothing received for {SILENCE:g} s" in await node.end_of("publish-1")
        async with asyncio.timeout(60):  # and it goes on after that
            while (spooled := node.spooled("task"))[-1].timestamp < 502_000 + SILENCE * 1000:
                await asyncio.sleep(0.1)
    finally:
        for task in pushing:
            task.cancel()
        await asyncio.gather(*pushing, return_exceptions=True)
        one.abort()
        two.abort()
        await node.server.stop(0.5)
        await node.pool.close()
    ours = [tag.timestamp for tag in spooled if tag.timestamp < 500_000]
    assert max(ours) > 1900  # all that the first sent
    theirs = stamps(spooled, 500_000)
    assert theirs == list(range(theirs[0], theirs[-1] + 1, 200))
    # From before the silence of the first, by the margin and what two reads may differ, more if the loop had to wait.
    assert 502_000 - (MARGIN + 1 + 2 * max(late)) * 1000 <= theirs[0] <= 502_000
