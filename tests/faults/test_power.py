"""The power goes while a whole server records: what is left is what the server had synced, by itself and in time."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.checks import LAGS, LOST_MAX
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in
from tests.faults.synced import synced

#: Seconds between two syncs, as it is without a setting.
INTERVAL = 1.0


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def server(tmp_path: Path, told: Receiver, notes: Path) -> Iterator[Instance]:
    server = Instance(tmp_path / "server", told)
    server.command = (sys.executable, "-m", "tests.faults.synced", notes, "serve")
    try:
        yield server.set_up()
    finally:
        server.clean_up()


def test_a_power_cut_costs_what_was_not_synced_yet(server: Instance, notes: Path, crew: Crew, numbered: Media) -> None:
    server.template("cam")
    began = time.monotonic()
    encoder = Encoder(crew, numbered, lambda: server.port, "cam").start()
    try:
        server.start_when_live("cam")
        spool = server.data_dir / "spool" / server.wait_for_state("cam", "recording")["id"]

        def sizes() -> list[int]:
            return [size for path, size in synced(notes) if path.parent == spool]

        # Nobody asks for these: the first key frame was one, the others come as time passes.
        wait_until(lambda: len(set(sizes())) >= 3, PATIENCE, "syncs while it records")
        time.sleep(5 * INTERVAL)
        server.strike()
        died = server.deaths[-1]
    finally:
        encoder.leave()

    [segment] = spool.glob("*.flv")
    assert segment.stat().st_size >= max(sizes())
    with segment.open("r+b") as file:
        file.truncate(max(sizes()))

    server.start()
    task = server.wait_for_state("cam", "completed")
    [push] = encoder.pushes[:1]
    bound = LOST_MAX + INTERVAL + LAGS * crew.lag(began) + server.late[died]
    for file in server.files(task["id"]):
        found = sorted(numbers_in(server.path(file), numbered))
        assert found == list(range(found[0], found[-1] + 1))
        lost = [sent_at for sent_at in push.sent_at[found[-1] + 1 - push.first :] if sent_at <= died]
        assert died - min(lost, default=died) < bound, f"{file['format']}: {len(lost)} packets"
