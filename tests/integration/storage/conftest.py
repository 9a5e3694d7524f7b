"""Buckets of both kinds: a directory, and one in a real SeaweedFS."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livereel.storage.config import BucketConfig
from livereel.storage.local import LocalStore
from livereel.storage.object_store import ObjectStore
from livereel.storage.port import Store
from tests.integration.control.conftest import node  # noqa: F401  a fixture
from tests.integration.storage.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed

MakeStore = Callable[..., ObjectStore]


@pytest.fixture(scope="session")
def shared_seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """One server for all tests that leave it as it is."""
    yield from _running(tmp_path_factory.mktemp("seaweed"))


@pytest.fixture
def seaweed(shared_seaweed: Seaweed) -> Seaweed:
    """The shared server. Put objects below `prefix`."""
    return shared_seaweed


@pytest.fixture
def own_seaweed(tmp_path: Path) -> Iterator[Seaweed]:
    """A server for this test alone, which may kill it."""
    yield from _running(tmp_path / "seaweed")


def _running(directory: Path) -> Iterator[Seaweed]:
    server = Seaweed(directory)
    try:
        server.start()
        server.create_bucket(BUCKET)
        yield server
    finally:
        server.remove()


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A path in the bucket that no other test uses."""
    return tmp_path.name


def config(server: Seaweed, prefix: str = "", **changes: object) -> BucketConfig:
    """How the server's bucket is reached."""
    values = {
        "url": f"s3://{BUCKET}/{prefix}".rstrip("/"),
        "endpoint": server.endpoint,
        "region": "us-east-1",
        "credentials": {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY},
    }
    return BucketConfig(**values | changes)  # type: ignore[arg-type]


@pytest.fixture
def remote(seaweed: Seaweed, prefix: str) -> ObjectStore:
    """The bucket in SeaweedFS."""
    return ObjectStore("rec-a", config(seaweed, prefix))


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of bucket in turn, empty."""
    if request.param == "local":
        return LocalStore("rec-a", tmp_path / "rec-a")
    return request.getfixturevalue("remote")  # type: ignore[no-any-return]
