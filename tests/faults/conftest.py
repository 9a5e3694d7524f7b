"""Fixtures of the fault tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.faults.encoders import Crew
from tests.faults.instance import Instance
from tests.faults.numbered import Media, generate

MEDIA_SECONDS = 360


@pytest.fixture(scope="session")
def numbered() -> Media:
    """Media with packets that can all be told from each other."""
    return generate(MEDIA_SECONDS)


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    """Where encoders live."""
    crew = Crew()
    yield crew
    crew.close()


@pytest.fixture
def told() -> Iterator[Receiver]:
    """Who is told of recordings."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def instance(tmp_path: Path, told: Receiver) -> Iterator[Instance]:
    """A server for this test alone. What it is to finish before it ends it finishes on a slow machine, too."""
    instance = Instance(tmp_path / "server", told, LIVEREEL_STOP_GRACE="100")
    try:
        yield instance.set_up()
    finally:
        instance.clean_up()
