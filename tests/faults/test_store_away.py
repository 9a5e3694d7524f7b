"""A store that is killed or hangs while a real server records into it, and the server's own death on top of that."""

import asyncio
import hashlib
import json
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
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
from tests.faults.test_killed_uploads import wait_until_completed
from tests.integration.storage.conftest import config
from tests.integration.storage.lender import Lender
from tests.integration.storage.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed
from tests.integration.storage.seaweed import BUCKET as STORE_BUCKET

KEYS = "store.toml"


@pytest.fixture
def seaweed(tmp_path: Path) -> Iterator[Seaweed]:
    seaweed = Seaweed(tmp_path / "seaweed")
    try:
        seaweed.start()
        seaweed.create_bucket(STORE_BUCKET)
        yield seaweed
    finally:
        seaweed.remove()


@contextmanager
def recording_into(endpoint: str, keys: str, directory: Path, told: Receiver) -> Iterator[Instance]:
    """A server that records into the store, and does not wait long for it when it is to stop."""
    instance = Instance(directory, told, LIVEREEL_STOP_GRACE="2")
    credentials = directory / KEYS
    credentials.write_text(keys)
    credentials.chmod(0o600)
    (directory / "livereel.toml").write_text(
        f"""
        [storage.buckets.{BUCKET}]
        url = "s3://{STORE_BUCKET}/tenant"
        endpoint = "{endpoint}"
        region = "us-east-1"
        credentials_file = "{credentials}"
        """
    )
    try:
        yield instance.set_up()
    finally:
        instance.clean_up()


@pytest.fixture
def instance(tmp_path: Path, told: Receiver, seaweed: Seaweed) -> Iterator[Instance]:
    keys = f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
    with recording_into(seaweed.endpoint, keys, tmp_path / "server", told) as instance:
        yield instance


@pytest.fixture
def lender(seaweed: Seaweed) -> Iterator[Lender]:
    lender = Lender(seaweed.s3_port)
    yield lender
    lender.close()


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
        sent = encoder.settle()
        assert instance.control("STOP", "away").status == 200
        instance.wait_for_state("away", "finishing")
        time.sleep(1)
        check_shown(instance, "no connection: look whether the store is up" if fault == "killed" else None)
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
    wait_until_completed(instance, "away")
    check_stored(instance, seaweed, sent, numbered, tmp_path / "fetched")
    wait_until(lambda: not instance.unfinished(["away"]), PATIENCE, "callbacks")
    check_callbacks(instance, "away", instance.tasks("away"))
    check_tidy(instance)
    assert instance.cli("uploads") == "nothing waits\n"


def test_keys_that_expire_while_a_server_records(
    lender: Lender, seaweed: Seaweed, told: Receiver, crew: Crew, numbered: Media, tmp_path: Path
) -> None:
    """Everything waits and says why; new keys are found without a restart, and everything goes on."""
    first = lender.lend(3600)
    with recording_into(lender.endpoint, first.toml(), tmp_path / "server", told) as instance:
        instance.template("away")
        encoder = Encoder(crew, numbered, lambda: instance.port, "away").start()
        try:
            instance.start_when_live("away")
            wait_until(lambda: instance.query("SELECT * FROM slices"), PATIENCE, "a slice in the store")
            lender.expire()
            wait_until(lambda: "ExpiredToken" in lender.refused, PATIENCE, "a request with the old keys")
            wait_until(lambda: encoder.sent > 100, PATIENCE, "more of the push")
            sent = encoder.settle()
            assert instance.control("STOP", "away").status == 200
            instance.wait_for_state("away", "finishing")
            check_shown(instance, "ExpiredToken: the session token has expired: put new credentials into")
            assert any(
                event["event"] == "store_failed" and "the session token has expired" in event["error"]
                for event in instance.events()
                if event.get("event") == "store_failed"
            )
            secret = first.secret_key, first.session_token
            assert not any(word in instance.log_text() + instance.cli("uploads", "--json") for word in secret)
        finally:
            encoder.leave()
        second = lender.lend(3600)
        fresh = instance.directory / f"{KEYS}.new"
        fresh.write_text(second.toml())
        fresh.replace(instance.directory / KEYS)
        wait_until_completed(instance, "away")
        check_stored(instance, seaweed, sent, numbered, tmp_path / "fetched")
        wait_until(lambda: not instance.unfinished(["away"]), PATIENCE, "callbacks")
        check_callbacks(instance, "away", instance.tasks("away"))
        check_tidy(instance)
        assert any(event.get("event") == "credentials_renewed" for event in instance.events())
        assert lender.used[-1] == second.access_key
        assert instance.cli("uploads") == "nothing waits\n"


def check_shown(instance: Instance, why: str | None) -> None:
    """The server is ready, and what waits for the store is shown everywhere, with the reason once there is one."""
    with urllib.request.urlopen(f"{instance.endpoint}/readyz", timeout=30) as answer:
        assert answer.status == 200
        assert set(json.load(answer)["checks"].values()) == {None}

    def waiting() -> float:
        with urllib.request.urlopen(f"{instance.endpoint}/metrics", timeout=30) as answer:
            metrics = answer.read().decode()
        found = re.search(rf'^livereel_upload_backlog_files{{bucket="{BUCKET}"}} (\S+)$', metrics, re.MULTILINE)
        assert found is not None
        return float(found[1])

    wait_until(waiting, PATIENCE, "a backlog in the metrics")
    if why is None:  # the first attempt is under way still
        wait_until(lambda: json.loads(instance.cli("uploads", "--json"))["backlog"], PATIENCE, "what waits")
        return

    def told() -> bool:
        """All three files have found out, so that nothing changes any more."""
        rows = instance.query("SELECT last_error FROM uploads")
        return [why in (row["last_error"] or "") for row in rows] == [True] * 3

    wait_until(told, PATIENCE, "the reason")
    shown = json.loads(instance.cli("uploads", "--json"))
    [backlog] = shown["backlog"]
    assert backlog["bucket"] == BUCKET and backlog["files"] >= 1 and backlog["bytes"] > 0 and backlog["since"]
    assert why in backlog["last_error"]
    assert all(upload["attempts"] >= 1 and upload["next_attempt"] for upload in shown["uploads"])
    lines = instance.cli("uploads").splitlines()
    assert f"{BUCKET}: {backlog['last_error']}" in lines  # in one piece
    answered = instance.api().live("GET", "livereel/uploads")
    assert why in answered["backlog"][0]["last_error"]


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
