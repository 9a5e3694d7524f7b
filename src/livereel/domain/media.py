"""Tags and tracks: what a stream is made of, free of any wire format."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT = 8, 9, 18  # FLV 10.1, tag types; RTMP message types have the same numbers


class Tag(NamedTuple):
    """One RTMP message or FLV tag as received. `timestamp` is milliseconds modulo 2**32; `payload` is the tag body."""

    kind: int
    timestamp: int
    payload: bytes


class VideoCodec(StrEnum):
    """Video codecs that RTMP and Enhanced RTMP carry."""

    H264 = "H264"
    H265 = "H265"
    AV1 = "AV1"
    VP9 = "VP9"
    OTHER = "other"


class AudioCodec(StrEnum):
    """Audio codecs that RTMP and Enhanced RTMP carry."""

    AAC = "AAC"
    MP3 = "MP3"
    OPUS = "OPUS"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """What the video sequence header says. Sizes are pixels, 0 when unknown; `frame_rate` is frames/s or None."""

    codec: VideoCodec
    width: int = 0
    height: int = 0
    frame_rate: float | None = None
    header: bytes = b""  # the whole tag body of the sequence header


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """What the audio sequence header says. `sample_rate` is Hz, 0 when unknown."""

    codec: AudioCodec
    sample_rate: int = 0
    channels: int = 0
    header: bytes = b""  # the whole tag body of the sequence header; b"" for codecs without one (MP3)
