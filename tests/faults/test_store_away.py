"""A store that is killed or hangs while a real server records into it, and the server's own death on top of that."""

import asyncio
import hashlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livereel.storage.object_store import ObjectStore
from tests.acceptance.api import BUCKET
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.checks import check_callbacks, check_tidy
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in
from tests.integration.storage.conftest import config
from tests.integration.storage.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.integration.storage.seaweed import BUCKET as STORE_BUCKET


@pytest.fixture
def seaweed(tmp_path: Path) -> Iterator[Seaweed]:
    seaweed = Seaweed(tmp_path / "seaweed")
    try:
        seaweed.start()
        seaweed.create_bucket(STORE_BUCKET)
        yield seaweed
    finally:
        seaweed.remove()


@pytest.fixture
def instance(tmp_path: Path, told: Receiver, seaweed: Seaweed) -> Iterator[Instance]:
    """A server that records into the store, and does not wait long for it when it is to stop."""
    instance = Instance(tmp_path / "server", told, LIVEREEL_STOP_GRACE="2")
    credentials = instance.directory / "store.toml"
    credentials.write_text(f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n')
    credentials.chmod(0o600)
    (instance.directory / "livereel.toml").write_text(
        f"""
        [storage.buckets.{BUCKET}]
        url = "s3://{STORE_BUCKET}/tenant"
        endpoint = "{seaweed.endpoint}"
        region = "us-east-1"
        credentials_file = "{credentials}"
        """
    )
    try:
        yield instance.set_up()
    finally:
        instance.clean_up()


@pytest.mark.parametrize(("fault", "end"), [("killed", "stopped"), ("hangs", "killed")])
def test_a_store_that_is_away_gets_everything_once_it_is_back(
    fault: str, end: str, instance: Instance, seaweed: Seaweed, crew: Crew, numbered: Media, tmp_path: Path
) -> None:
    instance.template("away")
    encoder = Encoder(crew, numbered, lambda: instance.port, "away").start()
    try:
        instance.start_when_live("away")
        wait_until(lambda: instance.query("SELECT * FROM slices"), PATIENCE, "a slice in the store")
        if fault == "killed":
            seaweed.kill()
        else:
            seaweed.freeze()
        time.sleep(2.5)
        sent = encoder.sent
        assert instance.control("STOP", "away").status == 200
        instance.wait_for_state("away", "finishing")
        time.sleep(1)
        if end == "stopped":
            instance.send(signal.SIGTERM)
            assert instance.exit_status() == 0
        else:
            instance.strike()
    finally:
        encoder.leave()
    # Nothing is given up: the task is open still, and what it is made from is here.
    assert instance.tasks("away")[0]["state"] == "finishing"
    assert list((instance.data_dir / "spool").glob("*/*.flv"))
    instance.start()
    assert instance.tasks("away")[0]["state"] == "finishing"
    if fault == "killed":
        seaweed.start()
    else:
        seaweed.thaw()
    instance.wait_for_state("away", "completed")
    check_stored(instance, seaweed, sent, numbered, tmp_path / "fetched")
    wait_until(lambda: not instance.unfinished(["away"]), PATIENCE, "callbacks")
    check_callbacks(instance, "away", instance.tasks("away"))
    check_tidy(instance)


def check_stored(instance: Instance, seaweed: Seaweed, sent: int, media: Media, directory: Path) -> None:
    """Every object is in the store as recording.json says, and nothing is there or here that is half done."""
    [task] = instance.tasks("away")
    files = instance.files(task["id"])
    assert {file["format"] for file in files} == {"FLV", "HLS", "MP4"}
    store = ObjectStore("there", config(seaweed, "tenant"))
    manifest = json.loads(asyncio.run(fetched(store, f"{Path(files[0]['object_key']).parent}/recording.json")))
    sums = {file["job_id"]: file["sha256"] for file in manifest["files"]}
    for file in files:
        data = asyncio.run(fetched(store, file["object_key"]))
        assert sums[file["job_id"]] == hashlib.sha256(data).hexdigest()
        path = directory / file["object_key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if file["format"] == "HLS":
            for piece in instance.query("SELECT object_key FROM slices WHERE job_id = ?", file["job_id"]):
                (directory / piece["object_key"]).write_bytes(asyncio.run(fetched(store, piece["object_key"])))
        numbers = sorted(numbers_in(path, media))
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[-1] >= sent - 1
    assert seaweed.unfinished_uploads(STORE_BUCKET) == []


async def fetched(store: ObjectStore, key: Any) -> bytes:
    found = await store.stat(key)
    assert found is not None, key
    return b"".join([piece async for piece in store.read(key, 0, found.size)])
