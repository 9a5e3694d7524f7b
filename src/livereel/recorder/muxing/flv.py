"""FLV, written by ourselves: packets go in as they were received, and nothing is rewritten but the head.

The head is an onMetaData tag of fixed size (FLV specification 10.1, annex E.5) with room for duration, size and an
index of key frames, which are filled in when the file is closed.
"""

import contextlib
import struct
from pathlib import Path
from typing import BinaryIO, Final

from livereel.amf.values import Value
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, AudioCodec, Tag, VideoCodec
from livereel.flv.script import encode_script
from livereel.flv.tags import FLV_HEADER, TAG_OVERHEAD, encode_tag, encode_tags
from livereel.recorder.muxing.port import BadPacket, Written
from livereel.recorder.packets import Packet, Tracks

#: Key frames in the index. When there are more, every second one is left out: 400 entries take 7 KiB, stay under the
#: 1000 values that careful readers accept (ours among them), and are one a minute in a file of six hours.
INDEX_ENTRIES: Final = 400
#: Characters in one string of the head's filler. FFmpeg gives up on script data with a string of 1024 or more, and says
#: so to everybody who opens the file.
FILLER_STRING: Final = 1000
_STRING_OVERHEAD: Final = 3  # bytes that AMF0 takes for a string beside its characters
#: Bytes collected before they are written; the spool is the safe copy.
_BUFFER_BYTES: Final = 256 * 1024
#: Milliseconds of media collected at most: who looks at a growing file is so far behind, whatever the bit rate.
_BUFFER_MS: Final = 1_000

_VIDEO_IDS: Final[dict[VideoCodec, float | bytes]] = {
    VideoCodec.H264: 7.0,
    VideoCodec.H265: b"hvc1",
    VideoCodec.AV1: b"av01",
    VideoCodec.VP9: b"vp09",
}
_AUDIO_IDS: Final[dict[AudioCodec, float | bytes]] = {
    AudioCodec.AAC: 10.0,
    AudioCodec.MP3: 2.0,
    AudioCodec.OPUS: b"Opus",
}
_FLAG_AUDIO, _FLAG_VIDEO = 4, 1


class FlvWriter:
    """A `FileWriter` for FLV. Takes every codec: bodies are copied as they are."""

    def __init__(self, path: Path, tracks: Tracks) -> None:
        self._path = path
        self._tracks = tracks
        self._file: BinaryIO = path.open("wb", buffering=0)
        self._position = 0  # end of the file with what waits
        self._waiting: list[Tag] = []
        self._waiting_bytes = 0
        self._last = self._flushed_at = 0
        self._index: list[tuple[int, int]] = []  # (time in ms, position) of key frames
        self._index_step = 1
        self._key_frames = 0
        flags = (_FLAG_AUDIO if tracks.audio else 0) | (_FLAG_VIDEO if tracks.video else 0)
        self._head_size = 0
        self._head_size = len(self._head(0, [(0, 0)] * INDEX_ENTRIES))
        headers = ((TAG_VIDEO, tracks.video), (TAG_AUDIO, tracks.audio))
        first = [Tag(kind, 0, track.header) for kind, track in headers if track is not None and track.header]
        head = FLV_HEADER[:4] + bytes([flags]) + FLV_HEADER[5:] + self._head(0, []) + encode_tags(first)
        self._position = len(head)
        self._write_all(head)

    def write(self, packet: Packet, dts: int) -> None:
        """See `FileWriter`."""
        if dts < 0:
            raise BadPacket(f"{dts} ms before the start of the file")
        for _, tag in packet.extras:
            self._add(Tag(tag.kind, dts, tag.payload))
        if packet.is_key:
            self._note_key_frame(dts)
        self._add(Tag(packet.kind, dts, packet.payload))
        self._last = dts
        if self._waiting_bytes > _BUFFER_BYTES or dts - self._flushed_at >= _BUFFER_MS:
            self._flush()

    def stable_end(self) -> int:
        """See `FileWriter`."""
        return self._position - self._waiting_bytes

    def close(self, end: int) -> Written:
        """See `FileWriter`. Rewrites the head, whatever the length of the file."""
        self._flush()
        self._file.seek(len(FLV_HEADER))
        self._write_all(self._head(end, self._index))
        self._file.close()
        return Written(self._path, self._position)

    def abort(self) -> None:
        """See `FileWriter`."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _add(self, tag: Tag) -> None:
        size = len(tag.payload) + TAG_OVERHEAD
        self._waiting.append(tag)
        self._waiting_bytes += size
        self._position += size

    def _flush(self) -> None:
        data = encode_tags(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._flushed_at = self._last
        self._write_all(data)

    def _write_all(self, data: bytes) -> None:
        done = self._file.write(data)
        while done < len(data):
            done += self._file.write(data[done:])

    def _note_key_frame(self, dts: int) -> None:
        if self._key_frames % self._index_step == 0:
            if len(self._index) == INDEX_ENTRIES:
                self._index = self._index[::2]
                self._index_step *= 2
            if self._key_frames % self._index_step == 0:
                self._index.append((dts, self._position))
        self._key_frames += 1

    def _head(self, end: int, index: list[tuple[int, int]]) -> bytes:
        """The onMetaData tag, always of the same size once that is known."""
        video, audio = self._tracks
        values: dict[str, Value] = {
            "duration": end / 1000,
            "filesize": float(self._position),
            "encoder": "livereel",
            "hasVideo": video is not None,
            "hasAudio": audio is not None,
            "hasKeyframes": bool(index),
            "hasMetadata": True,
            "canSeekToEnd": False,
            "lasttimestamp": self._last / 1000,
            "lastkeyframetimestamp": index[-1][0] / 1000 if index else 0.0,
        }
        if video is not None:
            values |= {"width": float(video.width), "height": float(video.height)}
            values["framerate"] = video.frame_rate or 0.0
            values["videocodecid"] = _codec_id(_VIDEO_IDS.get(video.codec))
        if audio is not None:
            values |= {"audiosamplerate": float(audio.sample_rate), "stereo": audio.channels > 1}
            values["audiocodecid"] = _codec_id(_AUDIO_IDS.get(audio.codec))
        values["keyframes"] = {
            "times": [time / 1000 for time, _ in index],
            "filepositions": [float(position) for _, position in index],
        }
        tag = encode_tag(Tag(TAG_SCRIPT, 0, encode_script("onMetaData", values | {"filler": [""]})))
        filler = _filler(max(0, self._head_size - len(tag)))
        return encode_tag(Tag(TAG_SCRIPT, 0, encode_script("onMetaData", values | {"filler": filler})))


def _filler(size: int) -> list[Value]:
    """Strings of blanks that take `size` bytes more than a single empty one."""
    count = -(-(size + _STRING_OVERHEAD) // (FILLER_STRING + _STRING_OVERHEAD))
    blanks = size - (count - 1) * _STRING_OVERHEAD
    return [" " * min(FILLER_STRING, max(0, blanks - each * FILLER_STRING)) for each in range(count)]


def _codec_id(value: float | bytes | None) -> float:
    """FLV codec ids are numbers; Enhanced RTMP puts the FourCC there as a number too."""
    if isinstance(value, bytes):
        return float(struct.unpack(">I", value)[0])
    return value or 0.0
