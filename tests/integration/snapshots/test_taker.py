"""Snapshots of live streams: real media, catalogue, store and picture workers; the clock is ours."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from livereel.callbacks.targets import Targets
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.control import pictures
from livereel.control.buckets import BucketService
from livereel.control.domains import DomainService, NewDomain
from livereel.control.pictures import SnapshotTaker
from livereel.control.snapshots import SnapshotService
from livereel.domain.errors import InvalidParameter, ResourceExists, ResourceNotFound, UnknownDomain
from livereel.domain.keys import StreamKey
from livereel.domain.media import Tag
from livereel.domain.messages import OutboxMessage, Publish
from livereel.domain.streams import SnapshotConfig, SnapshotMode, WriteMode
from livereel.domain.templates import ObsAddress
from livereel.domain.tenancy import DomainType, Project
from livereel.snapshots.pool import PicturePool
from livereel.storage.buckets import LocalStores
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream
from livereel.testing.clock import FakeClock
from livereel.testing.source import generate_tags

PROJECT = "0" * 31 + "1"
KEY = StreamKey("push.example.com", "live", "cam01")
MEDIA = generate_tags(1.0, audio=None)
CONFIG = SnapshotConfig(
    domain=KEY.domain,
    app=KEY.app,
    project_id=PROJECT,
    interval=5,
    write_mode=WriteMode.KEEP,
    address=ObsAddress("pictures", "here"),
    callback_on=True,
    callback_url="https://receiver.example.com/hook",
)


@dataclass
class Studio:
    """Everything around the taker."""

    catalogue: Catalogue
    clock: FakeClock
    registry: StreamRegistry
    stores: LocalStores
    taker: SnapshotTaker
    service: SnapshotService
    store: Path
    woken: list[None]

    def push(self, key: StreamKey = KEY, tags: list[Tag] = MEDIA) -> Stream:
        now = self.clock.now()
        stream = self.registry.open(key, Publish(f"push of {key}", "192.0.2.1", "192.0.2.2", "", now), PROJECT, now)
        stream.feed(tags, now)
        return stream

    async def look(self) -> None:
        """One look, and all pictures it begins."""
        await self.taker.look()
        await asyncio.gather(*self.taker._under_way)

    def stored(self) -> list[str]:
        root = self.store / "pictures"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*.jpg"))

    async def messages(self) -> list[OutboxMessage]:
        async with self.catalogue.read() as uow:
            return list(reversed((await uow.outbox.list()).items))


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    catalogue = await open_catalogue(f"sqlite:///{tmp_path / 'catalogue.db'}")
    clock, registry, woken = FakeClock(), StreamRegistry(), list[None]()
    async with catalogue.write() as uow:
        await uow.projects.add(Project(PROJECT, "here", clock.now()))
    domains = DomainService(catalogue, clock)
    await domains.create(PROJECT, NewDomain(KEY.domain, DomainType.PUSH, "here"))
    await domains.create(PROJECT, NewDomain("pull.example.com", DomainType.PULL, "here"))
    stores = LocalStores(tmp_path / "store")
    taker = SnapshotTaker(
        catalogue=catalogue,
        registry=registry,
        pool=PicturePool(1, timeout=120),
        stores=stores,
        clock=clock,
        wake_dispatcher=lambda: woken.append(None),
        chance=lambda: 0.5,
    )
    service = SnapshotService(catalogue, stores, taker.changed)
    yield Studio(catalogue, clock, registry, stores, taker, service, tmp_path / "store", woken)
    await taker.stop()
    await catalogue.close()


async def test_a_picture_at_every_interval(studio: Studio) -> None:
    await studio.service.create(CONFIG)
    studio.push()
    first = int(studio.clock.now())
    for _ in range(10):
        await studio.look()
        studio.clock.advance(1.0)
    names = [f"snapshot/{KEY}/{first + seconds}.jpg" for seconds in (0, 5)]
    assert studio.stored() == names
    assert (studio.store / "pictures" / names[0]).read_bytes()[:2] == b"\xff\xd8"
    messages = await studio.messages()
    assert [message.body["obs_addr"]["object"] for message in messages] == names
    assert [(message.body["width"], message.body["height"]) for message in messages] == [("320", "180")] * 2
    assert len(studio.woken) == 2


async def test_the_interval_begins_with_the_picture(studio: Studio) -> None:
    """Also when its key frame had to be waited for."""
    await studio.service.create(CONFIG)
    stream = studio.push(tags=[])
    await studio.taker.look()
    async with asyncio.timeout(60):
        while not stream._waiting_taps:
            await asyncio.sleep(0.01)
    studio.clock.advance(3.0)
    stream.feed(MEDIA, studio.clock.now())
    await asyncio.gather(*studio.taker._under_way)
    for seconds, taken in ((4.0, 1), (1.0, 2)):
        studio.clock.advance(seconds)
        await studio.look()
        assert len(studio.stored()) == taken


async def test_the_same_object_again(studio: Studio) -> None:
    await studio.service.create(replace(CONFIG, write_mode=WriteMode.OVERWRITE, callback_on=False))
    studio.push()
    for _ in range(3):
        await studio.look()
        studio.clock.advance(5.0)
    assert studio.stored() == [f"snapshot/{KEY}.jpg"]
    assert await studio.messages() == []


async def test_below_the_object_of_the_location(studio: Studio) -> None:
    location = ObsAddress("pictures", "here", "archive/")
    await studio.service.create(replace(CONFIG, write_mode=WriteMode.OVERWRITE, address=location))
    studio.push()
    await studio.look()
    assert studio.stored() == [f"archive/snapshot/{KEY}.jpg"]


async def test_only_streams_of_the_app(studio: Studio) -> None:
    await studio.service.create(CONFIG)
    studio.push(replace(KEY, app="other"))
    await studio.look()
    assert studio.stored() == []


async def test_a_change_counts_at_once(studio: Studio) -> None:
    await studio.service.create(replace(CONFIG, interval=3600))
    studio.push()
    await studio.look()
    studio.clock.advance(6.0)
    await studio.look()
    assert len(studio.stored()) == 1
    await studio.service.update(CONFIG, keep_key=True)
    await studio.look()
    studio.clock.advance(6.0)
    await studio.look()
    assert len(studio.stored()) == 2
    await studio.service.delete(PROJECT, KEY.domain, KEY.app)
    studio.clock.advance(6.0)
    await studio.look()
    assert len(studio.stored()) == 2


@pytest.mark.parametrize("mode", list(SnapshotMode))
async def test_modes(studio: Studio, mode: SnapshotMode) -> None:
    await studio.service.create(replace(CONFIG, mode=mode))
    studio.push()
    await studio.look()
    [name] = studio.stored()
    size = len((studio.store / "pictures" / name).read_bytes())
    assert size > 1000
    assert studio.taker._after(mode) == {"keyframe": 0, "nokeyframe": 13, "random": 13}[mode]


async def test_a_bad_stream_costs_only_itself(studio: Studio) -> None:
    await studio.service.create(CONFIG)
    bad = [tag._replace(payload=tag.payload[:5] + b"\xff" * 200) if len(tag.payload) > 200 else tag for tag in MEDIA]
    studio.push(replace(KEY, stream="bad"), bad)
    studio.push()
    for _ in range(60):
        await studio.look()
        studio.clock.advance(1.0)
    assert len(studio.stored()) == 12
    assert not any("bad" in name for name in studio.stored())
    failures = studio.taker._subjects[f"push of {KEY.domain}/live/bad"].failures
    assert 3 <= failures <= 5  # at 0, 10, 30 s: less and less often


async def test_a_stream_without_video(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "KEY_FRAME_TIMEOUT", 0.05)
    await studio.service.create(CONFIG)
    stream = studio.push(tags=generate_tags(1.0, video=None))
    await studio.look()
    assert studio.stored() == []
    assert not stream._waiting_taps


async def test_a_store_that_refuses(studio: Studio) -> None:
    await studio.service.create(CONFIG)
    studio.push()
    studio.store.mkdir()
    (studio.store / "pictures").write_text("in the way")
    await studio.look()
    assert await studio.messages() == []
    (studio.store / "pictures").unlink()
    studio.clock.advance(10.0)
    await studio.look()
    assert len(studio.stored()) == 1


async def test_undelivered_messages_are_bounded(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WAITING_MAX", 2)
    await studio.service.create(CONFIG)
    studio.push()
    for _ in range(4):
        await studio.look()
        studio.clock.advance(5.0)
    assert len(studio.stored()) == 4
    assert len(await studio.messages()) == 2


async def test_targets(studio: Studio) -> None:
    await studio.service.create(replace(CONFIG, auth_key="k" * 32, access_domain="img.example.com"))
    studio.push()
    await studio.look()
    [message] = await studio.messages()
    targets = Targets(lambda bucket, key, now: f"link:{bucket}/{key}@{now:g}")
    async with studio.catalogue.read() as uow:
        target = await targets.find(uow, message)
    assert target is not None
    body = target.sign(message.body, 1000.0)
    assert body["snapshot_url"] == f"http://img.example.com/{message.body['obs_addr']['object']}"
    assert body["auth_timestamp"] == 1060
    assert target.key == "k" * 32
    await studio.service.update(CONFIG, keep_key=False)
    async with studio.catalogue.read() as uow:
        target = await targets.find(uow, message)
    assert target is not None
    assert target.sign(message.body, 1000.0)["snapshot_url"].startswith("link:pictures/snapshot/push.example.com/")
    assert "auth_sign" not in target.sign(message.body, 1000.0)
    await studio.service.update(replace(CONFIG, callback_on=False), keep_key=True)
    async with studio.catalogue.read() as uow:
        assert await targets.find(uow, message) is None


async def test_the_running_loop(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "TICK", 0.01)
    await studio.service.create(CONFIG)
    studio.push()
    studio.taker.start()
    async with asyncio.timeout(30):
        while not studio.stored():
            await asyncio.sleep(0.02)
    await studio.taker.stop()


async def test_only_authorised_buckets(studio: Studio) -> None:
    buckets = BucketService(studio.catalogue, studio.stores)
    await buckets.authorise(PROJECT, "elsewhere")
    with pytest.raises(InvalidParameter, match="not authorised"):
        await studio.service.create(CONFIG)
    await buckets.authorise(PROJECT, "pictures")
    await studio.service.create(CONFIG)
    studio.push()
    await studio.look()
    assert len(studio.stored()) == 1
    await buckets.cancel(PROJECT, "pictures")
    studio.clock.advance(6.0)
    await studio.look()
    assert len(studio.stored()) == 1


async def test_what_is_refused(studio: Studio) -> None:
    create, update = studio.service.create, studio.service.update
    with pytest.raises(UnknownDomain):
        await create(replace(CONFIG, domain="other.example.com"))
    with pytest.raises(UnknownDomain):
        await create(replace(CONFIG, project_id="0" * 32))
    with pytest.raises(InvalidParameter):
        await create(replace(CONFIG, domain="pull.example.com"))
    with pytest.raises(InvalidParameter):
        await create(replace(CONFIG, address=ObsAddress("No Bucket", "here")))
    with pytest.raises(InvalidParameter):
        await create(replace(CONFIG, address=ObsAddress("pictures", "here", "../up")))
    with pytest.raises(ResourceNotFound):
        await update(CONFIG, keep_key=True)
    await create(CONFIG)
    with pytest.raises(ResourceExists):
        await create(CONFIG)
    with pytest.raises(ResourceNotFound):
        await studio.service.delete(PROJECT, KEY.domain, "other")
    with pytest.raises(UnknownDomain):
        await studio.service.list(PROJECT, domain="other.example.com", app=None, offset=0, limit=10)
