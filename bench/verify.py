"""What reading a record file again costs: CPU per second of media, by level, format and codec.

    python -m bench.verify [seconds of media]

Runs the verifier's own code in this process, once per combination, on media made here.
"""

import sys
import tempfile
import time
from pathlib import Path

from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import FormatConfig, RecordFormat, RecordType
from livereel.domain.verification import Verification, VerifyLevel
from livereel.flv.codecs import is_sequence_header
from livereel.flv.marks import encode_mark
from livereel.flv.tags import FLV_HEADER, encode_tag, encode_tags
from livereel.recorder.events import FileFinished, TaskSpec
from livereel.recorder.task import TaskRecorder
from livereel.spool.format import segment_path, task_directory
from livereel.testing.source import generate_tags
from livereel.verify.check import check
from livereel.verify.request import Account, CheckRequest

TASK = "7a6b5c4d3e2f10987a6b5c4d3e2f1098"
SOURCES: dict[str, dict[str, object]] = {
    "720p H.264 2.7 Mbit/s": {"size": (1280, 720), "bitrate": 2_660_000},
    "1080p H.264 4.5 Mbit/s": {"size": (1920, 1080), "bitrate": 4_500_000},
    "720p HEVC 2.0 Mbit/s": {"size": (1280, 720), "bitrate": 2_000_000, "video": "hevc"},
}


def record(directory: Path, tags: list[Tag]) -> tuple[list[FileFinished], float]:
    """The files of all formats, and the CPU seconds that making them took."""
    task_dir = task_directory(directory / "spool", TASK)
    task_dir.mkdir(parents=True)
    headers = [tag for tag in tags if tag.kind == TAG_SCRIPT or is_sequence_header(tag.kind, tag.payload)]
    media = [tag for tag in tags if tag not in headers]
    data = FLV_HEADER + encode_tag(encode_mark(1e9, "p", "begin")) + encode_tags([*headers, *media])
    segment_path(task_dir, 1).write_bytes(data)
    formats = {name: FormatConfig(0, "x", 0, 6) for name in RecordFormat}
    key = StreamKey("push.example.com", "live", "bench")
    spec = TaskSpec(TASK, key, RecordType.COMMAND, formats, directory / "spool", directory / "work")
    began = time.process_time()
    task = TaskRecorder(spec, 0.0)
    task.finish_at(SpoolPosition(1, len(data)), 0.0)
    while not task.done:
        task.step(0.0)
    took = time.process_time() - began
    return [event for event in task.events() if isinstance(event, FileFinished)], took


def main() -> None:
    """Print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    print(f"{seconds:g} s of media, CPU ms per second of media; `muxing` is what making all three formats takes\n")
    print("| source | format | off | packets | keyframes | full | muxing |\n|---|---|---|---|---|---|---|")
    for name, options in SOURCES.items():
        with tempfile.TemporaryDirectory() as directory:
            files, muxing = record(Path(directory), generate_tags(seconds, **options))  # type: ignore[arg-type]
            for event in files:
                account = Account(
                    event.format, event.report, event.duration, event.video_codec, event.audio_codec, event.size
                )
                costs = []
                for level in VerifyLevel:
                    began = time.process_time()
                    verdict = check(CheckRequest(event.path, account, level), lambda _: None)
                    costs.append((time.process_time() - began) * 1000 / seconds)
                    assert verdict.verification in (Verification.VERIFIED, Verification.OFF), verdict
                row = " | ".join(f"{cost:.2f}" for cost in [*costs, muxing * 1000 / seconds])
                print(f"| {name} | {event.format.value} | {row} |")


if __name__ == "__main__":
    main()
