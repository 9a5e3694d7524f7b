"""A whole server whose callbacks are not taken: nothing is lost, swapped or told twice, and recordings do not mind."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.receiver import Message, event_of
from tests.acceptance.server import wait_until
from tests.faults.checks import check_callbacks, check_tidy
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import PATIENCE, Instance
from tests.faults.numbered import Media, generate
from tests.faults.unruly import ANSWERS, CUT_SUCCESS, HANGS, WORDS, UnrulyReceiver

TIMEOUT = 1.0  # seconds an attempt may take here
LATE = f"no answer within {TIMEOUT:g} s"
FLV = ("FLV",)
#: Of a recording with one file.
STORY = ["RECORD_START", "RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER"]


@pytest.fixture(scope="module")
def media() -> Media:
    return generate(30)


@pytest.fixture
def unruly() -> Iterator[UnrulyReceiver]:
    receiver = UnrulyReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def instance(tmp_path: Path, unruly: UnrulyReceiver) -> Iterator[Instance]:
    instance = Instance(tmp_path / "server", unruly, LIVEREEL_CALLBACKS__TIMEOUT=str(TIMEOUT))  # type: ignore[arg-type]
    try:
        yield instance.set_up()
    finally:
        instance.clean_up()


def record(instance: Instance, crew: Crew, media: Media, *streams: str) -> None:
    """A recording of each stream, from START to STOP."""
    encoders = [Encoder(crew, media, lambda: instance.port, stream) for stream in streams]
    try:
        for stream, encoder in zip(streams, encoders, strict=True):
            instance.template(stream, formats=FLV)
            encoder.start()
        for stream in streams:
            instance.start_when_live(stream)
        begun = [encoder.sent for encoder in encoders]
        for encoder, first in zip(encoders, begun, strict=True):
            wait_until(lambda encoder=encoder, first=first: encoder.sent > first + 10, PATIENCE, "something to record")
        for stream in streams:
            assert instance.control("STOP", stream).status == 200
    finally:
        for encoder in encoders:
            encoder.leave()


def check_told(instance: Instance, unruly: UnrulyReceiver, *streams: str) -> None:
    """All that is to be told was taken, once and in order."""
    wait_until(lambda: not instance.unfinished(list(streams)), PATIENCE, "callbacks")
    for stream in streams:
        assert list(unruly.taken_of(stream).values()) == STORY, stream
        check_callbacks(instance, stream, instance.tasks(stream))
        # None is sent before the one before it was taken.
        sent = [event_of(message) for message in unruly.of(stream)]
        assert sent == sorted(sent, key=STORY.index), sent
    instance.check_logs()
    check_tidy(instance)


def test_a_receiver_that_is_down_is_told_when_it_is_back_whatever_died_meanwhile(
    instance: Instance, unruly: UnrulyReceiver, crew: Crew, media: Media
) -> None:
    record(instance, crew, media, "one", "two")
    for stream in ("one", "two"):
        instance.wait_for_state(stream, "completed")  # which does not depend on who listens
    waiting = "SELECT id, attempts, last_error FROM outbox WHERE state = 'pending' ORDER BY id"

    def refused() -> bool:
        return any("cannot connect" in (row["last_error"] or "") for row in instance.query(waiting))

    wait_until(refused, PATIENCE, "an attempt")
    before = instance.query(waiting)
    assert len(before) == 2 * len(STORY)
    instance.strike()
    instance.start()
    assert [row["id"] for row in instance.query(waiting)] == [row["id"] for row in before]
    wait_until(lambda: "cannot connect" in instance.cli("messages", "list", "--json"), PATIENCE, "why they wait")

    # It is back, takes a message, and before it can say so the server dies once more.
    unruly.misbehave = lambda message, _attempt: HANGS if event_of(message) == "RECORD_FILE_COMPLETE" else None
    unruly.up()

    def unanswered() -> list[Message]:
        return [message for message in unruly.of("one") if event_of(message) == "RECORD_FILE_COMPLETE"]

    wait_until(unanswered, PATIENCE, "the message about the file")
    instance.strike()
    unruly.misbehave = lambda _message, _attempt: None
    instance.start()
    check_told(instance, unruly, "one", "two")
    assert len({message["_headers"]["Livereel-Message-Id"] for message in unanswered()}) == 1
    assert len(unanswered()) >= 2


def test_a_receiver_that_does_everything_wrong_is_told_everything(
    instance: Instance, unruly: UnrulyReceiver, crew: Crew, media: Media
) -> None:
    """Each recording meets another kind of misbehaviour, with the first attempt for every message."""
    faults = {fault.replace(" ", "-"): fault for fault in (*ANSWERS, *WORDS, HANGS, CUT_SUCCESS)}

    def misbehave(message: Message, attempt: int) -> str | None:
        return faults[message["stream"]] if attempt == 1 else None

    unruly.misbehave = misbehave
    unruly.up()
    record(instance, crew, media, *faults)
    check_told(instance, unruly, *faults)
    assert unruly.strayed == []
    for stream, fault in faults.items():
        arrived = Counter(message["_headers"]["Livereel-Message-Id"] for message in unruly.of(stream))
        for message, times in arrived.items():
            outcomes = instance.query("SELECT error FROM deliveries WHERE message_id = ? ORDER BY id", int(message))
            *failed, last = (row["error"] for row in outcomes)
            assert last is None
            # Sent again for the one fault only, or because a busy machine took too long for an answer. If the status
            # of a success had come, the message had arrived: then there is no fault.
            late = failed.count(LATE)
            assert failed or fault == CUT_SUCCESS, fault
            assert len(failed) - late <= (fault not in (HANGS, CUT_SUCCESS)), (fault, failed)
            assert len(outcomes) - late <= times <= len(outcomes), (fault, failed)
    said = instance.query("SELECT error FROM deliveries WHERE error IS NOT NULL")
    for reason in ("answered 500", "redirects are not followed", LATE, "closed without an answer"):
        assert any(reason in row["error"] for row in said), (reason, said)
