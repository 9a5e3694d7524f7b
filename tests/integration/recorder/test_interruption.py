"""A break in the push: files are complete as soon as their merge window has passed, with the same result as ever."""

from pathlib import Path

import pytest

from livereel.domain.recordings import SpoolPosition
from livereel.recorder.events import FileFinished, RecorderEvent, TaskSpec
from livereel.recorder.task import TaskRecorder
from tests.integration.recorder.conftest import Source
from tests.integration.recorder.spools import ALL, FLV, HLS, MP4, WALL, Spool, finished, run, spec


class Recording:
    """A task that is stepped by hand."""

    def __init__(self, task_spec: TaskSpec) -> None:
        self.task = TaskRecorder(task_spec, 0.0)
        self.events: list[RecorderEvent] = []

    def catch_up(self) -> None:
        """Read all there is and take the events."""
        while self.task.step(0.0):
            pass
        self.task.step(0.0)
        self.events += self.task.events()

    def finished(self) -> list[tuple[str, int]]:
        return sorted((event.format.value, event.sequence) for event in self.events if isinstance(event, FileFinished))


@pytest.mark.parametrize("early", [False, True])
def test_the_formats_whose_window_passed_are_complete_at_once(tmp_path: Path, source: Source, early: bool) -> None:
    tags = source(4)
    spool = Spool(tmp_path / "spool")
    recording = Recording(spec(tmp_path))
    broke = spool.publish(tags, wall=WALL, name="p1")
    if early:  # the command may arrive before the worker has read so far
        recording.task.interrupt_at(broke, frozenset({FLV, HLS}))
    recording.catch_up()
    assert recording.finished() == ([("FLV", 1), ("HLS", 1)] if early else [])
    recording.task.interrupt_at(broke, frozenset({FLV, HLS, MP4}))
    recording.catch_up()
    assert recording.finished() == [("FLV", 1), ("HLS", 1), ("MP4", 1)]
    end = spool.publish(tags, wall=WALL + 10, name="p2")
    recording.task.finish_at(end, 0.0)
    recording.catch_up()
    plain = run(spec(tmp_path), end)
    for record_format in ALL:
        with_command, without = finished(recording.events, record_format), finished(plain, record_format)
        assert [file.job_id for file in with_command] == [file.job_id for file in without]
        assert [file.size for file in with_command] == [file.size for file in without]
        names = "content_crc32", "bytes"
        accounts = [
            [{name: file.report[name] for name in names} for file in files] for files in (with_command, without)
        ]
        assert accounts[0] == accounts[1]
        assert [file.report["packets"] for file in with_command] == [file.report["packets"] for file in without]
        assert [file.report["ended_by"] for file in with_command] == ["interruption", "end"]


def test_a_command_for_a_break_that_is_over_does_nothing(tmp_path: Path, source: Source) -> None:
    tags = source(4)
    spool = Spool(tmp_path / "spool")
    recording = Recording(spec(tmp_path, merge=60))
    broke = spool.publish(tags, wall=WALL, name="p1")
    end = spool.publish(tags, wall=WALL + 10, name="p2")
    recording.catch_up()
    recording.task.interrupt_at(broke, frozenset(ALL))
    recording.catch_up()
    assert recording.finished() == []
    recording.task.finish_at(end, 0.0)
    recording.catch_up()
    assert recording.finished() == [("FLV", 1), ("HLS", 1), ("MP4", 1)]


def test_a_file_after_the_break_can_be_made_again_from_its_resume_point(tmp_path: Path, source: Source) -> None:
    tags = source(4)
    spool = Spool(tmp_path / "spool")
    recording = Recording(spec(tmp_path))
    broke: SpoolPosition = spool.publish(tags, wall=WALL, name="p1")
    recording.task.interrupt_at(broke, frozenset(ALL))
    recording.catch_up()
    recording.task.abort()  # the worker dies
    resumes = {event.format: event.resume for event in recording.events if isinstance(event, FileFinished)}
    assert None not in resumes.values()
    end = spool.publish(tags, wall=WALL + 10, name="p2")
    again = spec(tmp_path)
    again.resume.update({name: resume for name, resume in resumes.items() if resume is not None})
    events = run(again, end)
    plain = run(spec(tmp_path), end)
    for record_format in ALL:
        [file] = finished(events, record_format)
        assert file.sequence == 2
        assert file.report["packets"] == finished(plain, record_format)[1].report["packets"]
