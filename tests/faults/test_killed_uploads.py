"""kill -9 of a real server in the middle of uploads into a real object store: whole objects, and no part sent twice."""

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from livereel.control.uploads.slices import SLICES_AT_ONCE
from livereel.domain.media import TAG_VIDEO
from livereel.flv.codecs import is_sequence_header
from livereel.storage.object_store import ObjectStore
from tests.acceptance.api import BUCKET
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.checks import check_callbacks, check_tidy
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, Numbered, generate, numbers_in
from tests.integration.storage.conftest import config
from tests.integration.storage.gateway import Gateway, Request
from tests.integration.storage.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.integration.storage.seaweed import BUCKET as STORE_BUCKET

SPARE = "rec-spare"
#: Bytes of filler in each picture, and how much faster than real time it is sent: 10 pictures a second make 6 MB/s,
#: and a part of 5 MiB soon.
FILLER, SPEED = 150_000, 4.0
MEDIA_SECONDS = 40
LONG = 3 * PATIENCE
#: Packets by which there is a part besides the first, which goes up last, and so many more that there are some.
ONE_PART, SOME_PARTS = 300, 600
_FILLER_DATA = 12  # NAL unit type (ITU-T H.264, table 7-1): decoders skip it


@pytest.fixture(scope="module")
def heavy() -> Media:
    """Numbered media of some weight."""
    media = generate(MEDIA_SECONDS)
    unit = bytes([_FILLER_DATA]) + b"\xff" * FILLER + b"\x80"
    filler = len(unit).to_bytes(4, "big") + unit

    def padded(packet: Numbered) -> Numbered:
        tag = packet.tag
        if tag.kind != TAG_VIDEO or is_sequence_header(tag.kind, tag.payload):
            return packet
        return packet._replace(tag=tag._replace(payload=tag.payload + filler))

    return Media(media.headers, [padded(packet) for packet in media.packets], media.numbers)


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    seaweed = Seaweed(tmp_path_factory.mktemp("seaweed"))
    try:
        seaweed.start()
        seaweed.create_bucket(STORE_BUCKET)
        yield seaweed
    finally:
        seaweed.remove()


@pytest.fixture
def gateway(seaweed: Seaweed) -> Iterator[Gateway]:
    gateway = Gateway(seaweed.s3_port)
    yield gateway
    gateway.close()


@pytest.fixture
def more(request: pytest.FixtureRequest) -> str:
    """Settings of the bucket, which tests may add to."""
    return str(getattr(request, "param", ""))


@pytest.fixture
def instance(tmp_path: Path, told: Receiver, gateway: Gateway, more: str) -> Iterator[Instance]:
    """A server that records into the store, in which it has another bucket too."""
    instance = Instance(tmp_path / "server", told)
    credentials = instance.directory / "store.toml"
    credentials.write_text(f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n')
    credentials.chmod(0o600)
    buckets = {BUCKET: more, SPARE: ""}
    (instance.directory / "livereel.toml").write_text(
        "\n".join(
            f"""
            [storage.buckets.{name}]
            url = "s3://{STORE_BUCKET}/{instance.directory.parent.name}/{name}"
            endpoint = "{gateway.endpoint}"
            region = "us-east-1"
            credentials_file = "{credentials}"
            {settings}
            """
            for name, settings in buckets.items()
        )
    )
    try:
        yield instance.set_up()
    finally:
        instance.clean_up()


class Moment:
    """The first request that `comes` holds of, and all such requests after it, wait there until the server is dead."""

    def __init__(self, gateway: Gateway, comes: Callable[[Request], object]) -> None:
        self._gateway = gateway
        self._comes = comes
        self._reached, self._over = threading.Event(), threading.Event()
        self._before = gateway.on_request
        gateway.on_request = self._at

    def _at(self, request: Request) -> int | None:
        if self._over.is_set() or not self._comes(request):
            return self._before(request)
        self._reached.set()
        self._over.wait(PATIENCE)
        return Gateway.RESET

    def wait(self) -> None:
        assert self._reached.wait(PATIENCE), "the moment did not come"

    def kill(self, instance: Instance) -> None:
        """Wait for the moment, and kill the server then."""
        self.wait()
        instance.strike()
        self._over.set()
        self._gateway.settle()
        self._gateway.on_request = self._before


def test_killed_before_between_and_behind_the_parts(
    instance: Instance, gateway: Gateway, seaweed: Seaweed, crew: Crew, heavy: Media, tmp_path: Path
) -> None:
    """One recording, whose encoder comes back after each kill, and three of them."""
    instance.template("cam", merge=300)
    first = Moment(gateway, lambda request: request.part is not None)
    encoder = Encoder(crew, heavy, lambda: instance.port, "cam", speed=SPEED)
    encoder.back_at, encoder.pauses_at = 0.0, ONE_PART
    encoder.start()
    try:
        instance.start_when_live("cam")
        first.kill(instance)
        assert gateway.parts() == []

        between = Moment(gateway, lambda request: request.part is not None and len(gateway.parts()) >= 3)
        encoder.pauses_at = SOME_PARTS
        instance.start()
        between.kill(instance)
        assert len(gateway.parts()) >= 3

        pushes = len(encoder.pushes)
        instance.start()

        def is_back() -> bool:
            encoder.pauses_at = encoder.sent + 1  # who pauses does not notice that nobody is there
            return encoder.publishing and len(encoder.pushes) > pushes

        wait_until(is_back, PATIENCE, "the encoder to be back")
        behind = Moment(gateway, lambda request: request.method == "HEAD" and request.key in completed(gateway))
        sent = encoder.sent
        encoder.pauses_at = sent + 60
        wait_until(lambda: encoder.sent > sent + 20, PATIENCE, "something to record")
        sent = encoder.settle()
        assert instance.control("STOP", "cam").status == 200
        behind.kill(instance)
    finally:
        encoder.leave()
    instance.start()
    wait_until_completed(instance, "cam")
    check_stored(instance, seaweed, "cam", BUCKET, sent, heavy, tmp_path / "fetched")
    check_sent_once(gateway, kills=3)


@pytest.mark.parametrize("more", [f'second = "{SPARE}"\nsecond_after = 0.2'], ids=["with a second"], indirect=True)
def test_killed_while_the_second_bucket_has_taken_over(
    instance: Instance, gateway: Gateway, seaweed: Seaweed, crew: Crew, heavy: Media, tmp_path: Path
) -> None:
    instance.template("cam")
    encoder = Encoder(crew, heavy, lambda: instance.port, "cam", speed=SPEED)
    encoder.pauses_at = ONE_PART
    encoder.start()
    try:
        instance.start_when_live("cam")
        wait_until(gateway.parts, PATIENCE, "a part in the first bucket")
        gateway.on_request = lambda request: None if is_about(request, SPARE) else 503
        encoder.pauses_at = SOME_PARTS
        taken_over = Moment(gateway, lambda request: is_about(request, SPARE) and len(parts_of(gateway, SPARE)) >= 2)
        taken_over.wait()
        sent = encoder.settle()
        assert instance.control("STOP", "cam").status == 200
        taken_over.kill(instance)
    finally:
        encoder.leave()
    assert parts_of(gateway, SPARE)
    instance.start()
    wait_until_completed(instance, "cam")
    # What is left in the first bucket is known, and goes when it is back.
    assert {row["bucket"] for row in instance.query("SELECT bucket FROM uploads")} == {BUCKET}
    assert seaweed.unfinished_uploads()
    gateway.on_request = lambda _request: None
    wait_until(lambda: not instance.query("SELECT id FROM uploads"), LONG, "the first bucket to be cleared")
    check_stored(instance, seaweed, "cam", SPARE, sent, heavy, tmp_path / "fetched")
    check_sent_once(gateway, kills=1)
    there = store_of(instance, seaweed, BUCKET)
    assert asyncio.run(keys_in(there)) == []


def wait_until_completed(instance: Instance, stream: str) -> None:
    """Servers look every half minute when a store has been away for long."""
    wait_until(lambda: instance.tasks(stream)[-1]["state"] == "completed", LONG, f"the end of {stream}")


def completed(gateway: Gateway) -> set[str]:
    """Objects whose upload in parts was completed."""
    return {
        request.key for request in list(gateway.requests) if request.method == "POST" and "uploadId" in request.query
    }


def parts_of(gateway: Gateway, bucket: str) -> list[Request]:
    return [each for each in list(gateway.requests) if each.part is not None and is_about(each, bucket)]


def is_about(request: Request, bucket: str) -> bool:
    """Both are paths in one bucket of the store; who asks what is in it names them in the query."""
    return f"/{bucket}/" in f"/{request.key}/{request.query.get('prefix', '')}/"


def check_sent_once(gateway: Gateway, *, kills: int) -> None:
    """No part that arrived went up again, and no slice whose arrival was noted."""
    parts = Counter((request.key, request.part) for request in gateway.requests if request.part is not None)
    assert parts and set(parts.values()) == {1}, {part: count for part, count in parts.items() if count > 1}
    assert {key.rpartition(".")[2] for key, _ in parts} == {"flv", "mp4"}
    for key in completed(gateway):
        numbers = sorted(number or 0 for of, number in parts if of == key)
        assert numbers == list(range(1, len(numbers) + 1))
    slices = Counter(request.key for request in gateway.requests if request.method == "PUT" and ".ts" in request.key)
    assert sum(slices.values()) - len(slices) <= SLICES_AT_ONCE * kills


def check_stored(
    instance: Instance, seaweed: Seaweed, stream: str, bucket: str, sent: int, media: Media, directory: Path
) -> None:
    """Every object has the size and the sum that recording.json says, and nothing is left that is half done."""
    [task] = instance.tasks(stream)
    files = instance.files(task["id"])
    assert [(file["format"], file["bucket"], file["state"]) for file in files] == [
        (name, bucket, "stored") for name in ("FLV", "HLS", "MP4")
    ]
    store = store_of(instance, seaweed, bucket)
    manifest = json.loads(asyncio.run(fetched(store, f"{Path(files[0]['object_key']).parent}/recording.json")))
    told = {file["job_id"]: file for file in manifest["files"]}
    for file in files:
        data = asyncio.run(fetched(store, file["object_key"]))
        slices = instance.query("SELECT object_key, size FROM slices WHERE job_id = ?", file["job_id"])
        assert told[file["job_id"]]["sha256"] == hashlib.sha256(data).hexdigest()
        assert told[file["job_id"]]["size"] == len(data) + sum(piece["size"] for piece in slices)
        path = directory / file["object_key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for piece in slices:
            content = asyncio.run(fetched(store, piece["object_key"]))
            assert len(content) == piece["size"]
            (directory / piece["object_key"]).write_bytes(content)
        numbers = sorted(numbers_in(path, media))
        assert len(set(numbers)) == len(numbers)
        assert numbers[-1] >= sent - 1
    wait_until(lambda: not instance.unfinished([stream]), PATIENCE, "callbacks")
    check_callbacks(instance, stream, instance.tasks(stream))
    check_tidy(instance)
    assert instance.query("SELECT id FROM uploads") == []
    assert seaweed.unfinished_uploads(STORE_BUCKET) == []


def store_of(instance: Instance, seaweed: Seaweed, bucket: str) -> ObjectStore:
    """What is in a bucket, not seen through the gateway."""
    return ObjectStore("there", config(seaweed, f"{instance.directory.parent.name}/{bucket}"))


async def fetched(store: ObjectStore, key: Any) -> bytes:
    found = await store.stat(key)
    assert found is not None, key
    return b"".join([piece async for piece in store.read(key, 0, found.size)])


async def keys_in(store: ObjectStore) -> list[str]:
    return [found.key async for found in store.objects()]
