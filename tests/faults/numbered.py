"""Media whose every packet can be told from every other, in whatever file it is found.

A packet is known by the digest of what no muxer changes: the slices of an H.264 picture, the raw AAC frame. So what is
missing from a recording, and what is in it twice, is counted and not estimated.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.codecs import is_sequence_header, is_video_keyframe
from livereel.testing.source import SourceSpec, generate_tags
from tests.acceptance.footage import without_adts

SPEC = SourceSpec(size=(128, 72), fps=10, gop_seconds=0.5, sample_rate=24_000, channels=1, noise=True)

_START_CODE = re.compile(rb"\x00\x00\x01")
_PICTURE = (1, 5)  # NAL unit types of coded pictures (ITU-T H.264, table 7-1)


class Numbered(NamedTuple):
    """A packet of the source."""

    tag: Tag
    is_key: bool


@dataclass(frozen=True)
class Media:
    """`packets` in the order they are sent, and the number of each by what it is known by."""

    headers: list[Tag]
    packets: list[Numbered]
    numbers: dict[bytes, int]

    def key_from(self, number: int) -> int:
        """The first key frame at or after packet `number`."""
        return next(index for index in range(number, len(self.packets)) if self.packets[index].is_key)

    def time(self, number: int) -> float:
        """Media time of a packet, seconds."""
        return self.packets[number].tag.timestamp / 1000


def generate(seconds: float) -> Media:
    """So much media, with a key frame every half second."""
    headers: list[Tag] = []
    packets: list[Numbered] = []
    numbers: dict[bytes, int] = {}
    for tag in generate_tags(seconds, SPEC):
        if tag.kind == TAG_SCRIPT or is_sequence_header(tag.kind, tag.payload):
            headers.append(tag)
            continue
        known = video_digest(_by_lengths(tag.payload[5:])) if tag.kind == TAG_VIDEO else _digest(tag.payload[2:])
        assert known not in numbers, f"packets {numbers[known]} and {len(packets)} are alike"
        numbers[known] = len(packets)
        packets.append(Numbered(tag, tag.kind == TAG_VIDEO and is_video_keyframe(tag.payload)))
    assert {tag.kind for tag in headers} == {TAG_SCRIPT, TAG_VIDEO, TAG_AUDIO}
    return Media(headers, packets, numbers)


def numbers_in(path: Path, media: Media, most: int | None = None) -> list[int]:
    """The numbers of the packets in a file, or of the first `most`, in file order.

    A packet that was never sent is an error.
    """
    found: list[int] = []
    with av.open(str(path)) as file:
        units = _by_start_codes if file.format.name in ("hls", "mpegts") else _by_lengths
        for packet in file.demux():
            if packet.size == 0 or packet.stream.type not in ("video", "audio"):
                continue
            if len(found) == most:
                break
            data = bytes(packet)
            known = video_digest(units(data)) if packet.stream.type == "video" else _digest(without_adts(data))
            assert known in media.numbers, f"{path}: a {packet.stream.type} packet at {packet.dts} that nobody sent"
            found.append(media.numbers[known])
    return found


def video_digest(units: list[bytes]) -> bytes:
    """Of the picture slices only; parameter sets and delimiters come and go with the container."""
    return _digest(b"".join(unit for unit in units if unit and unit[0] & 0x1F in _PICTURE))


def _by_lengths(data: bytes) -> list[bytes]:
    units, place = [], 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        units.append(data[place + 4 : place + 4 + size])
        place += 4 + size
    return units


def _by_start_codes(data: bytes) -> list[bytes]:
    starts = [match.end() for match in _START_CODE.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    return [data[start:end].rstrip(b"\0") for start, end in zip(starts, ends, strict=True)]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=12).digest()
