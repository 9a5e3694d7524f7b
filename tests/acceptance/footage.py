"""What is in a media file: packets as stored, pictures as decoded, and how two files compare.

The pushed footage is known to the byte, so tests do not ask whether a recording looks right but whether it *is* a
piece of what was sent.
"""

import hashlib
import itertools
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av

from livereel.testing.media import assert_sound
from tests.acceptance.encoders import FFMPEG

ADTS_SYNC = 0xFFF


@dataclass(frozen=True, slots=True)
class Packet:
    """One coded frame: seconds, whether it is a key frame, and a digest of its bytes."""

    dts: float
    pts: float
    key: bool
    digest: bytes


class MediaFile:
    """A file, read and decoded when asked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _packets(self) -> dict[str, list[Packet]]:
        found: dict[str, list[Packet]] = {"video": [], "audio": []}
        with av.open(str(self.path)) as media:
            for packet in media.demux():
                if packet.size == 0 or packet.stream.type not in found or packet.time_base is None:
                    continue
                assert packet.dts is not None, f"{self.path}: a packet without DTS"
                assert packet.pts is not None, f"{self.path}: a packet without PTS"
                unit, data = float(packet.time_base), bytes(packet)
                if packet.stream.type == "audio":
                    data = without_adts(data)
                found[packet.stream.type].append(
                    Packet(packet.dts * unit, packet.pts * unit, packet.is_keyframe, _digest(data))
                )
        return found

    @property
    def video(self) -> list[Packet]:
        return self._packets["video"]

    @property
    def audio(self) -> list[Packet]:
        return self._packets["audio"]

    @cached_property
    def pictures(self) -> list[bytes]:
        """A digest of every decoded picture in order of presentation. A decoder error fails the test."""
        with av.open(str(self.path)) as media:
            stream = media.streams.video[0]
            stream.thread_type = "AUTO"
            return [_picture_digest(picture) for picture in media.decode(stream)]

    @property
    def seconds(self) -> float:
        """From the first picture to the end of the last, in media time."""
        times = sorted(packet.pts for packet in self.video)
        return times[-1] - times[0] + (times[-1] - times[0]) / (len(times) - 1)

    def bytes_of(self, seconds: float) -> int:
        """Bytes of so much of it; test pictures are all of about one size (12 %)."""
        return int(self.path.stat().st_size / self.seconds * seconds)

    def check_whole(self) -> None:
        """Every frame decodes; times only rise; it opens with a key frame; sound and picture begin and end together."""
        assert_sound(self.path, video_frames=len(self.video), audio_packets=len(self.audio))
        starts = self.video[0].pts, self.audio[0].pts
        ends = max(p.pts for p in self.video), self.audio[-1].pts
        assert abs(starts[0] - starts[1]) < 0.25, f"{self.path}: video begins at {starts[0]}, audio at {starts[1]}"
        assert abs(ends[0] - ends[1]) < 0.5, f"{self.path}: video ends at {ends[0]}, audio at {ends[1]}"

    def check_players_do_not_complain(self) -> None:
        """ffmpeg reads it from its first byte to its last and finds nothing to say."""
        command = [FFMPEG, "-hide_banner", "-nostats", "-v", "warning", "-i", str(self.path), "-f", "null", "-"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"{self.path}: {done.stderr}"

    def check_no_frame_missing(self, frame_rate: float = 30.0) -> None:
        """The pictures follow each other at the frame rate. A missing picture leaves a hole of two intervals."""
        times = sorted(packet.pts for packet in self.video)
        holes = [(a, b) for a, b in itertools.pairwise(times) if b - a > 1.5 / frame_rate]
        assert not holes, f"{self.path}: holes {holes[:5]}"


def without_adts(data: bytes) -> bytes:
    """An AAC frame without the ADTS header that it has in a transport stream."""
    if len(data) > 7 and (data[0] << 4 | data[1] >> 4) == ADTS_SYNC:
        return data[7:] if data[1] & 1 else data[9:]
    return data


def check_piece_of(recorded: MediaFile, source: MediaFile) -> tuple[int, int]:
    """The recorded video and audio are pieces of the source without a hole; (first, last) video frame of the piece."""
    first, last = _locate(
        [p.digest for p in recorded.video], [p.digest for p in source.video], f"{recorded.path} video"
    )
    assert source.video[first].key
    # Time runs as it did in the source.
    shift = recorded.video[0].dts - source.video[first].dts
    drift = max(abs(r.dts - s.dts - shift) for r, s in zip(recorded.video, source.video[first:], strict=False))
    assert drift < 0.002, f"{recorded.path}: times drift by {drift} s"
    audio_first, _ = _locate(
        [p.digest for p in recorded.audio], [p.digest for p in source.audio], f"{recorded.path} audio"
    )
    audio_shift = recorded.audio[0].dts - source.audio[audio_first].dts
    assert abs(audio_shift - shift) < 0.03, f"{recorded.path}: A/V offset changed by {audio_shift - shift} s"
    return first, last


def check_two_pieces_of(recorded: MediaFile, source: MediaFile) -> None:
    """The recording holds a piece of the source, and then the source from its beginning: the push came back once."""
    for kind in ("video", "audio"):
        packets = [p.digest for p in getattr(recorded, kind)]
        sent = [p.digest for p in getattr(source, kind)]
        assert sent[0] in packets[1:], f"{recorded.path}: no {kind} of the second push"
        cut = packets.index(sent[0], 1)
        _locate(packets[:cut], sent, f"{recorded.path} {kind} of the first push")
        _locate(packets[cut:], sent[: len(packets) - cut], f"{recorded.path} {kind} of the second push")


def check_same_content(files: list[MediaFile]) -> None:
    """All files hold the same pictures and the same sound."""
    first, *others = files
    for other in others:
        assert other.pictures == first.pictures, (
            f"{other.path}: {len(other.pictures)} pictures, {first.path}: {len(first.pictures)}"
        )
        assert [p.digest for p in other.audio] == [p.digest for p in first.audio], (
            f"{other.path}: {len(other.audio)} audio frames, {first.path}: {len(first.audio)}"
        )


def check_joined(files: list[MediaFile], source: MediaFile, *, pictures: bool) -> None:
    """One file after the other holds exactly what was sent. Compare `pictures` where the coded form differs (HLS)."""
    if pictures:
        assert [picture for file in files for picture in file.pictures] == source.pictures
    else:
        assert [p.digest for file in files for p in file.video] == [p.digest for p in source.video]
    assert [p.digest for file in files for p in file.audio] == [p.digest for p in source.audio]


def _locate(piece: list[bytes], whole: list[bytes], what: str) -> tuple[int, int]:
    assert piece, f"{what}: nothing recorded"
    starts = [place for place, digest in enumerate(whole) if digest == piece[0]]
    assert starts, f"{what}: begins with a frame that was never sent"
    # A steady tone may repeat a frame, so there may be several places to begin; the best one tells what is wrong.
    first, equal = max(((start, _equal(piece, whole[start:])) for start in starts), key=lambda place: place[1])
    assert equal == len(piece), (
        f"{what}: frame {equal} of {len(piece)} is not frame {first + equal} of the {len(whole)} that were sent"
    )
    return first, first + equal - 1


def _equal(piece: list[bytes], whole: list[bytes]) -> int:
    return next((n for n, (a, b) in enumerate(zip(piece, whole, strict=False)) if a != b), min(len(piece), len(whole)))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _picture_digest(picture: av.VideoFrame) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for plane in picture.planes:
        data, width, step = memoryview(plane), plane.width, plane.line_size
        if width == step:
            found.update(data[: width * plane.height])
            continue
        # Lines are padded in memory; the padding holds anything.
        for line in range(plane.height):
            found.update(data[line * step : line * step + width])
    return found.digest()
