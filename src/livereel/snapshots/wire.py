"""What pool and worker say to each other over pipes: a head of JSON with sizes, then the bytes it announces."""

import json
import struct
from typing import Any, Final

from livereel.domain.media import VideoCodec
from livereel.streams.pictures import CodedPicture

LENGTH: Final = struct.Struct(">I")
#: A head lists the sizes of a few dozen frames.
HEAD_MAX_BYTES: Final = 64 * 1024
#: Of a JPEG: 8K at the quality used here stays below.
JPEG_MAX_BYTES: Final = 64 * 1024 * 1024


def message(head: dict[str, Any], *blobs: bytes) -> bytes:
    """A whole message."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((LENGTH.pack(len(text)), text, *blobs))


def request(picture: CodedPicture) -> bytes:
    """The request to make a JPEG of `picture`."""
    blobs = [picture.header, *picture.frames]
    return message({"codec": picture.codec.value, "sizes": [len(blob) for blob in blobs]}, *blobs)


def take_request(head: dict[str, Any], blobs: list[bytes]) -> CodedPicture:
    """The inverse of `request`."""
    return CodedPicture(VideoCodec(head["codec"]), blobs[0], blobs[1:])
