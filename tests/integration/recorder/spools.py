"""Spools made from tags, and tasks run over them in this process."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import FormatConfig, RecordFormat, RecordType
from livereel.flv.codecs import is_sequence_header, is_video_keyframe, parse_audio, parse_video
from livereel.flv.marks import encode_mark
from livereel.flv.tags import FLV_HEADER, TagReader, encode_tag, encode_tags
from livereel.recorder.events import FileFinished, RecorderEvent, TaskSpec
from livereel.recorder.task import TaskRecorder
from livereel.spool.format import segment_path, segments, task_directory

TASK = "7a6b5c4d3e2f10987a6b5c4d3e2f1098"
KEY = StreamKey("push.example.com", "live", "cam01")
WALL = 1_784_614_528.0
FLV, MP4, HLS = RecordFormat.FLV, RecordFormat.MP4, RecordFormat.HLS
ALL = (FLV, MP4, HLS)


class Spool:
    """A task's spool in `directory`, written like the server writes it."""

    def __init__(self, directory: Path, task_id: str = TASK) -> None:
        self.directory = directory
        self.task_dir = task_directory(directory, task_id)
        self.task_dir.mkdir(parents=True, exist_ok=True)

    def publish(
        self,
        tags: Sequence[Tag],
        *,
        wall: float = WALL,
        name: str = "p1",
        segment_bytes: int = 1 << 40,
        arrived: Sequence[Tag] | None = None,
        mark: str = "begin",
    ) -> SpoolPosition:
        """Append one publish; new segments after `segment_bytes`. Gives the end of the spool.

        Tags arrive when they are stamped, or when the tags of `arrived` are. `mark` is the reason of the first mark.
        """
        headers = [tag for tag in tags if is_header(tag)]
        media = [tag for tag in tags if not is_header(tag)]
        times = [tag.timestamp for tag in arrived or tags if not is_header(tag)]
        marked = -1e9
        data = bytearray()
        for number, tag in enumerate(media):
            now = wall + (times[number] - times[0]) % (1 << 32) / 1000
            key = tag.kind == TAG_VIDEO and is_video_keyframe(tag.payload)
            if number == 0 or (key and len(data) > segment_bytes):
                if data:
                    self._append_segment(data)
                data = bytearray(FLV_HEADER + encode_tag(encode_mark(now, name, mark if number == 0 else "segment")))
                data += encode_tags(header._replace(timestamp=tag.timestamp) for header in headers)
                marked = now
            elif key and now - marked > 5:
                data += encode_tag(encode_mark(now, name, "time", tag.timestamp))
                marked = now
            data += encode_tag(tag)
        self._append_segment(data)
        return self.end

    @property
    def end(self) -> SpoolPosition:
        last = segments(self.task_dir)[-1]
        return SpoolPosition(last, segment_path(self.task_dir, last).stat().st_size)

    def _append_segment(self, data: bytes | bytearray) -> None:
        segment_path(self.task_dir, len(segments(self.task_dir)) + 1).write_bytes(data)


def is_header(tag: Tag) -> bool:
    return tag.kind == TAG_SCRIPT or is_sequence_header(tag.kind, tag.payload)


def spec(
    tmp_path: Path,
    formats: Iterable[RecordFormat] = ALL,
    *,
    cycle: int = 0,
    merge: int = 0,
    slice_duration: int = 2,
    task_id: str = TASK,
) -> TaskSpec:
    config = FormatConfig(0, "rec/{stream}", merge, slice_duration)
    if cycle:
        object.__setattr__(config, "record_cycle", cycle)  # shorter than templates allow
    return TaskSpec(
        task_id, KEY, RecordType.COMMAND, dict.fromkeys(formats, config), tmp_path / "spool", tmp_path / "work"
    )


def run(task_spec: TaskSpec, end: SpoolPosition) -> list[RecorderEvent]:
    """All events of a task whose spool is complete."""
    task = TaskRecorder(task_spec, 0.0)
    task.finish_at(end, 0.0)
    while not task.done:
        task.step(0.0)
    return task.events()


def finished(events: Iterable[RecorderEvent], record_format: RecordFormat) -> list[FileFinished]:
    return [event for event in events if isinstance(event, FileFinished) and event.format is record_format]


def frames(tags: Iterable[Tag], kind: int) -> list[bytes]:
    """Codec data of every frame."""
    found = []
    for tag in tags:
        if tag.kind != kind or is_header(tag):
            continue
        header = parse_video(tag.payload) if kind == TAG_VIDEO else parse_audio(tag.payload)
        if not header.is_end_of_sequence and not header.is_command:
            found.append(tag.payload[header.data_offset : header.data_end])
    return found


def flv_tags(path: Path) -> list[Tag]:
    return TagReader().feed(path.read_bytes())


def shifted(tags: Iterable[Tag], milliseconds: int) -> list[Tag]:
    return [tag._replace(timestamp=(tag.timestamp + milliseconds) % (1 << 32)) for tag in tags]


def without(task_spec: TaskSpec, record_format: RecordFormat) -> TaskSpec:
    formats = {name: config for name, config in task_spec.formats.items() if name is not record_format}
    return replace(task_spec, formats=formats)
