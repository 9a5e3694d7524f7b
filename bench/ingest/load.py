"""The load: what each stream sends, written down for `pusher.c`, and the pusher itself."""

import random
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.script import encode_script
from livereel.testing.rtmp_client import PublisherBytes

FRAME_RATE, GOP_SECONDS = 30, 2
KEY_FRAME_BYTES, FRAME_BYTES = 60_000, 9_700
AUDIO_RATE, AUDIO_BYTES = 48_000 / 1024, 341
APP, PLACEHOLDER = "live", "bench00000"

_VIDEO_HEADER = bytes.fromhex("17000000000164001fffe1000667640 01facd901000468ebe3cb".replace(" ", ""))
_AUDIO_HEADER = bytes.fromhex("af001190")


class Missing(Exception):
    """Something the bench needs is not installed; the message says what."""


@dataclass(frozen=True, slots=True)
class Script:
    """A prepared byte stream. `video` and `audio` count frames without headers."""

    path: Path
    seconds: float
    video: int
    audio: int
    bytes: int

    @property
    def megabits(self) -> float:
        """Mbit/s of one stream."""
        return self.bytes * 8 / self.seconds / 1e6


def write_script(path: Path, tags: list[Tag], seconds: float, chunk_size: int) -> Script:
    """Prepare a stream of `seconds` that sends `tags`."""
    publisher = PublisherBytes(APP, PLACEHOLDER, tc_url=f"rtmp://127.0.0.1/{APP}", chunk_size=chunk_size)
    opening = publisher.opening()
    offsets = [match.end() - 5 for match in re.finditer(PLACEHOLDER.encode(), opening)]
    messages = [(tag.timestamp, publisher.media([tag])) for tag in tags]
    messages.append((int(seconds * 1000), publisher.closing()))
    with path.open("wb") as file:
        file.write(b"LRP1" + struct.pack("<III", len(opening), len(offsets), len(messages)))
        file.write(struct.pack(f"<{len(offsets)}I", *offsets))
        for due, data in messages:
            file.write(struct.pack("<II", due, len(data)))
        file.write(opening)
        file.writelines(data for _, data in messages)
    return Script(
        path,
        seconds,
        video=sum(tag.kind == TAG_VIDEO for tag in tags) - 1,
        audio=sum(tag.kind == TAG_AUDIO for tag in tags) - 1,
        bytes=sum(len(data) for _, data in messages),
    )


def build_pusher(directory: Path) -> Path:
    """Compile the pusher. Raises Missing without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing("a C compiler (cc): apt-get install gcc libc6-dev")
    target = directory / "pusher"
    source = Path(__file__).with_name("pusher.c")
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(target), str(source)], check=True)
    return target


def noise(seconds: float) -> list[Tag]:
    """720p30 H.264 and AAC by sizes and times; nobody can decode it. For servers that look at headers only."""
    stuff = random.Random(1).randbytes(KEY_FRAME_BYTES)
    metadata = {
        "width": 1280.0,
        "height": 720.0,
        "framerate": float(FRAME_RATE),
        "videocodecid": 7.0,
        "audiocodecid": 10.0,
    }
    headers = [
        Tag(TAG_SCRIPT, 0, encode_script("onMetaData", metadata)),
        Tag(TAG_VIDEO, 0, _VIDEO_HEADER),
        Tag(TAG_AUDIO, 0, _AUDIO_HEADER),
    ]
    frames: list[Tag] = []
    for index in range(int(seconds * FRAME_RATE)):
        key = index % (FRAME_RATE * GOP_SECONDS) == 0
        size = KEY_FRAME_BYTES if key else FRAME_BYTES
        head = b"\x17\x01\0\0\0" if key else b"\x27\x01\0\0\0"
        frames.append(Tag(TAG_VIDEO, index * 1000 // FRAME_RATE, head + stuff[: size - 5]))
    sound = b"\xaf\x01" + stuff[: AUDIO_BYTES - 2]
    frames += [Tag(TAG_AUDIO, int(index * 1000 / AUDIO_RATE), sound) for index in range(int(seconds * AUDIO_RATE))]
    frames.sort(key=lambda tag: tag.timestamp)
    return headers + frames
