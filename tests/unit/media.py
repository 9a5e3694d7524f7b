"""Tags as encoders send them, made by hand."""

from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.domain.messages import Publish
from livereel.flv.script import encode_script

KEY = StreamKey("publish.example.com", "live", "camera1")
PUBLISH = Publish("publish-1", "192.0.2.10", "192.0.2.1", "", 1_700_000_000.0)
NOW = 1_700_000_000.0

VIDEO_HEADER = Tag(TAG_VIDEO, 0, bytes.fromhex("17000000000142c01effe100046742c01e01000468ce3c80"))
AUDIO_HEADER = Tag(TAG_AUDIO, 0, bytes.fromhex("af001190"))
METADATA = Tag(TAG_SCRIPT, 0, encode_script("onMetaData", {"width": 640.0, "height": 360.0, "framerate": 30.0}))
HEADERS = [METADATA, VIDEO_HEADER, AUDIO_HEADER]


def key_frame(timestamp: int, size: int = 100) -> Tag:
    """An H.264 key frame whose body has `size` bytes."""
    return Tag(TAG_VIDEO, timestamp, b"\x17\x01\0\0\0".ljust(size, b"k"))


def frame(timestamp: int, size: int = 50) -> Tag:
    """An H.264 frame between key frames."""
    return Tag(TAG_VIDEO, timestamp, b"\x27\x01\0\0\0".ljust(size, b"p"))


def audio(timestamp: int, size: int = 20) -> Tag:
    """An AAC frame."""
    return Tag(TAG_AUDIO, timestamp, b"\xaf\x01".ljust(size, b"a"))


def gop(start: int, frames: int = 5, *, size: int = 50) -> list[Tag]:
    """A key frame and what follows it, 40 ms apart, audio between."""
    tags = [key_frame(start, size * 2), audio(start + 5)]
    for index in range(1, frames):
        tags += [frame(start + index * 40, size), audio(start + index * 40 + 5)]
    return tags
