"""SIGTERM during everything: the server finishes within its grace time, or the next one goes on where it left off."""

import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from livereel.domain.recordings import MIN_PAUSE_AFTER_STOP
from livereel.testing.api_client import Reply
from tests.acceptance.receiver import Receiver
from tests.acceptance.server import wait_until
from tests.faults.checks import check_callbacks, check_tidy
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import BROKEN, PATIENCE, Instance
from tests.faults.numbered import Media, numbers_in

#: What START and STOP may say: docs/api/errors.md.
NOT_LIVE, NOT_RECORDING, EXISTS, STOPPING = (
    (404, "LIVE.100011001"),
    (404, "LIVE.100011001"),
    (400, "LIVE.100011022"),
    (503, "LIVE.100011005"),
)
FAR = 60  # seconds of merge window that no restart takes


def stop_in_order(instance: Instance) -> None:
    instance.send(signal.SIGTERM)
    assert instance.exit_status() == 0
    instance.check_logs()


def verdict(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json().get("error_code", "") if reply.status >= 400 else ""


def packets(instance: Instance, stream: str, media: Media) -> dict[str, list[list[int]]]:
    """By format: the packets of each file of the stream's only task, which is complete."""
    [task] = instance.tasks(stream)
    assert task["state"] == "completed", task
    found: dict[str, list[list[int]]] = {}
    for file in instance.files(task["id"]):
        assert file["state"] == "stored", file
        found.setdefault(file["format"], []).append(sorted(numbers_in(instance.path(file), media)))
    assert set(found) == {"FLV", "HLS", "MP4"}
    assert found["FLV"] == found["HLS"] == found["MP4"]
    return found


def test_idle_and_publishing(instance: Instance, crew: Crew, numbered: Media) -> None:
    """A push without a recording is told that the server stops, and is welcome at the next one."""
    stop_in_order(instance)
    instance.start()
    encoder = Encoder(crew, numbered, lambda: instance.port, "pushed").start()
    try:
        wait_until(lambda: encoder.publishing, PATIENCE, "a push")
        encoder.back_at = 0.0
        stop_in_order(instance)
        instance.start()
        wait_until(lambda: len(encoder.pushes) > 1 and encoder.publishing, PATIENCE, "the push again")
    finally:
        encoder.leave()
    stop_in_order(instance)


def test_recordings_without_a_merge_window_are_complete(instance: Instance, crew: Crew, numbered: Media) -> None:
    """Commanded, continuous and one that is being finished: all are complete when the process has ended."""
    kinds = {"commanded": "COMMAND_RECORD", "continuous": "CONTINUOUS_RECORD", "finishing": "COMMAND_RECORD"}
    for stream, kind in kinds.items():
        instance.template(stream, kind=kind)
    encoders = [
        Encoder(crew, numbered, lambda: instance.port, stream, first=number * 1000).start()
        for number, stream in enumerate(kinds)
    ]
    try:
        instance.start_when_live("commanded")
        instance.start_when_live("finishing")
        instance.wait_for_state("continuous", "recording")
        time.sleep(2)
        assert instance.control("STOP", "finishing").status == 200
        sent = {encoder.stream: encoder.settle() for encoder in encoders}
        stop_in_order(instance)
    finally:
        for encoder in encoders:
            encoder.leave()
    for encoder in encoders:
        [only] = packets(instance, encoder.stream, numbered)["FLV"]
        wanted = range(only[0], sent[encoder.stream] if encoder.stream != "finishing" else only[-1] + 1)
        assert set(wanted) <= set(only), f"{encoder.stream}: sent before SIGTERM and not recorded"
    assert {instance.tasks(stream)[0]["end_reason"] for stream in ("commanded", "continuous")} == {"shutdown"}
    instance.start()
    wait_until(lambda: not instance.unfinished(list(kinds)), PATIENCE, "callbacks")
    for stream in kinds:
        check_callbacks(instance, stream, instance.tasks(stream))
    check_tidy(instance)


@pytest.mark.parametrize("kind", ["COMMAND_RECORD", "CONTINUOUS_RECORD"])
def test_an_encoder_that_comes_back_goes_on_in_the_same_files(
    instance: Instance, crew: Crew, numbered: Media, kind: str
) -> None:
    """Over a restart inside the merge window: the same task, one file of each format, nothing lost."""
    # Nobody can send STOP to a continuous one, so the test waits for the end of the window.
    window = FAR if kind == "COMMAND_RECORD" else 25
    instance.template("rolling", kind=kind, merge=window)
    encoder = Encoder(crew, numbered, lambda: instance.port, "rolling").start()
    try:
        if kind == "COMMAND_RECORD":
            instance.start_when_live("rolling")
        first = instance.wait_for_state("rolling", "recording")
        time.sleep(1.5)
        encoder.back_at = 0.0
        sent_before = encoder.settle()
        stop_in_order(instance)
        assert instance.tasks("rolling")[0]["state"] == "interrupted"
        assert verdict_while_interrupted(instance) in (None, EXISTS)
        wait_until(lambda: len(encoder.pushes) > 1 and encoder.publishing, PATIENCE, "the push again")
        gap = encoder.pushes[1].began_at - encoder.pushes[0].sent_at[-1]
        if gap > window - 2:
            return  # on a machine so slow the window may be over
        assert instance.wait_for_state("rolling", "recording", "finishing", "completed")["id"] == first["id"]
        time.sleep(1)
        if kind == "COMMAND_RECORD":
            assert verdict(instance.control("START", "rolling")) == EXISTS
            assert instance.control("STOP", "rolling").status == 200
    finally:
        encoder.leave()
    instance.wait_for_state("rolling", "completed")
    [only] = packets(instance, "rolling", numbered)["FLV"]
    assert set(range(only[0], sent_before)) <= set(only)
    again = encoder.pushes[1]
    assert next(number for number in only if number >= again.first) == again.first
    assert len(set(only)) == len(only)


def verdict_while_interrupted(instance: Instance) -> tuple[int, str] | None:
    """The next server, and its answer to START before the stream is back; None if the stream was quicker."""
    instance.start()
    if instance.tasks("rolling")[0]["record_type"] != "COMMAND":
        return None
    return verdict(instance.control("START", "rolling"))


def test_start_that_waits_for_a_key_frame(instance: Instance, crew: Crew, numbered: Media) -> None:
    """It gets an answer that is documented, or its connection ends; a recording that was not acknowledged is none."""
    instance.template("waits")
    headers_only = Media(numbered.headers, [packet for packet in numbered.packets if not packet.is_key], {})
    encoder = Encoder(crew, headers_only, lambda: instance.port, "waits")
    headers_only.__dict__["key_from"] = lambda number: number
    encoder.start()
    try:
        wait_until(lambda: encoder.sent > 20, PATIENCE, "a push without key frames")
        with ThreadPoolExecutor(1) as pool:
            asked: Future[Any] = pool.submit(answer, instance, "START", "waits")
            instance.wait_for_state("waits", "starting")
            stop_in_order(instance)
            assert asked.result(PATIENCE) == STOPPING  # at once, and not when it has waited for as long as it may
    finally:
        encoder.leave()
    instance.start()
    instance.wait_for_state("waits", "failed")
    check_tidy(instance)


def answer(instance: Instance, action: str, stream: str) -> tuple[int, str] | None:
    try:
        return verdict(instance.control(action, stream))
    except BROKEN:
        return None


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hurries(instance: Instance, crew: Crew, numbered: Media, second: signal.Signals) -> None:
    """What an orderly stop would have finished is finished by the next server."""
    instance.template("hurried")
    encoder = Encoder(crew, numbered, lambda: instance.port, "hurried").start()
    try:
        instance.start_when_live("hurried")
        time.sleep(1)
        for worker in instance.workers():
            os.kill(worker, signal.SIGSTOP)  # so that there is something to wait for
        instance.send(signal.SIGTERM)
        wait_until(lambda: '"stopping"' in instance.log_text(), PATIENCE, "the orderly stop")
        instance.send(second)
        assert instance.exit_status() == -second
    finally:
        encoder.leave()
    wait_until(lambda: not instance.processes(), PATIENCE, "workers to go with their server, though stopped")
    instance.start()
    instance.wait_for_state("hurried", "completed")
    packets(instance, "hurried", numbered)
    wait_until(lambda: not instance.unfinished(["hurried"]), PATIENCE, "callbacks")
    check_callbacks(instance, "hurried", instance.tasks("hurried"))
    check_tidy(instance)


def test_start_and_stop_in_odd_orders(instance: Instance, crew: Crew, numbered: Media) -> None:
    """START twice, at once and later; STOP twice; START too soon after STOP; START while the merge window is open."""
    instance.template("odd", merge=FAR)
    assert verdict(instance.control("START", "odd")) == NOT_LIVE
    assert verdict(instance.control("STOP", "odd")) == NOT_RECORDING
    encoder = Encoder(crew, numbered, lambda: instance.port, "odd").start()
    try:
        wait_until(lambda: encoder.publishing and encoder.sent > 10, PATIENCE, "a push")
        with ThreadPoolExecutor(4) as pool:
            both = [verdict(reply) for reply in pool.map(lambda _: instance.control("START", "odd"), range(4))]
        assert sorted(both) == [(200, "")] + [EXISTS] * 3, both
        assert verdict(instance.control("START", "odd")) == EXISTS
        encoder.leave()
        instance.wait_for_state("odd", "interrupted")
        assert verdict(instance.control("START", "odd")) == EXISTS
        stopped = time.monotonic()
        assert instance.control("STOP", "odd").status == 200
        assert verdict(instance.control("STOP", "odd")) == NOT_RECORDING
        encoder.back_at = 0.0
        encoder.start()
        wait_until(lambda: encoder.publishing, PATIENCE, "a push")
        early = verdict(instance.control("START", "odd"))
        if time.monotonic() - stopped >= MIN_PAUSE_AFTER_STOP:
            return  # on a machine so slow it may be late enough
        assert early == EXISTS
    finally:
        encoder.leave()
    instance.wait_for_state("odd", "completed")
    assert len(instance.tasks("odd")) == 1


def test_stop_before_start_is_answered(instance: Instance, crew: Crew, numbered: Media, told: Receiver) -> None:
    """One of the two wins, and what both are told is true."""
    instance.template("hasty")
    encoder = Encoder(crew, numbered, lambda: instance.port, "hasty").start()
    try:
        wait_until(lambda: encoder.publishing and encoder.sent > 10, PATIENCE, "a push")
        with ThreadPoolExecutor(2) as pool:
            start, stop = (pool.submit(answer, instance, action, "hasty") for action in ("START", "STOP"))
            assert start.result(PATIENCE) == (200, "")
            stopped = stop.result(PATIENCE)
        assert stopped in ((200, ""), NOT_RECORDING)
        if stopped != (200, ""):
            assert instance.control("STOP", "hasty").status == 200
    finally:
        encoder.leave()
    assert len(packets_when_done(instance, "hasty", numbered)["FLV"]) == 1
    told.wait("RECORD_OVER", "hasty", PATIENCE)


def packets_when_done(instance: Instance, stream: str, media: Media) -> dict[str, list[list[int]]]:
    instance.wait_for_state(stream, "completed")
    return packets(instance, stream, media)
