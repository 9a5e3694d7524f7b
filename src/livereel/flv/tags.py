"""FLV file structure: the header and the chain of tags (Adobe FLV file format specification 10.1, annex E.2-E.4)."""

import struct
from collections.abc import Iterable
from typing import Final

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag

# "FLV", version 1, audio and video present, header of 9 bytes; then the size of the tag before the first, 0.
FLV_HEADER: Final = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"
TAG_HEADER_SIZE: Final = 11
TAG_OVERHEAD: Final = TAG_HEADER_SIZE + 4  # bytes a tag takes in a file besides its body
BODY_MAX_SIZE: Final = 0xFFFFFF  # the size field has 24 bits

_HEADER_START: Final = 9
_HEADER_MAX: Final = 64  # version 1 has 9 bytes; more room than that has never been used
_KINDS: Final = frozenset((TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT))

_HEADER = struct.Struct(">IIHB")  # kind and size; timestamp with its high byte last; stream id 0
_SIZE = struct.Struct(">I")
_pack_between = struct.Struct(">IIIHB").pack  # the size behind one tag and the header of the next


class FlvError(ValueError):
    """The bytes are not FLV, or a tag body is cut short."""


def encode_tag(tag: Tag) -> bytes:
    """`tag` as it stands in a file, its trailing size included. Raises FlvError if the body is over 16 MiB."""
    return encode_tags((tag,))


def encode_tags(tags: Iterable[Tag]) -> bytes:
    """All `tags` as they stand in a file, in one piece. Raises FlvError if a body is over 16 MiB."""
    parts: list[bytes] = []
    append = parts.append
    behind = 0  # the size that stands behind the tag before
    for kind, timestamp, payload in tags:
        size = len(payload)
        if size > BODY_MAX_SIZE:
            raise FlvError(f"a tag body of {size} bytes does not fit the 24-bit size field")
        append(_pack_between(behind, kind << 24 | size, (timestamp << 8 | timestamp >> 24) & 0xFFFFFFFF, 0, 0))
        append(payload)
        behind = size + TAG_HEADER_SIZE
    if not behind:
        return b""
    parts[0] = parts[0][_SIZE.size :]
    append(_SIZE.pack(behind))
    return b"".join(parts)


class TagReader:
    """Turns the bytes of an FLV file, in pieces of any size, into tags.

    `position` is the offset just after the last whole tag returned, counted from the start of the file. A reader
    created with `position` above 0 expects to be fed from that offset on, where a tag must begin.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._rest = b""
        self._error: FlvError | None = None

    def feed(self, data: bytes) -> list[Tag]:
        """The tags completed by `data`.

        Raises FlvError on garbage. Whole tags in front of the garbage are returned first; the call after that raises.
        """
        if self._error is not None:
            raise self._error
        buffer = self._rest + data if self._rest else data
        tags: list[Tag] = []
        offset = 0
        try:
            if self.position == 0:
                offset = self._file_header(buffer)
                if not offset:
                    self._rest = buffer
                    return tags
                self.position = offset
            offset = self._read(buffer, offset, tags)
        except FlvError as error:
            self._error = error
            if not tags:
                raise
            return tags
        self._rest = buffer[offset:]
        return tags

    def _read(self, buffer: bytes, offset: int, tags: list[Tag]) -> int:
        end = len(buffer)
        while end - offset >= TAG_OVERHEAD:
            first, second, _, _ = _HEADER.unpack_from(buffer, offset)
            size = first & 0xFFFFFF
            kind = first >> 24
            if kind not in _KINDS:
                raise FlvError(f"tag type {kind} at offset {self.position}")
            after = offset + size + TAG_OVERHEAD
            if after > end:
                break
            if _SIZE.unpack_from(buffer, after - 4)[0] != size + TAG_HEADER_SIZE:
                raise FlvError(f"the size after the tag at offset {self.position} does not match the tag")
            timestamp = second >> 8 | (second & 0xFF) << 24
            tags.append(Tag(kind, timestamp, buffer[offset + TAG_HEADER_SIZE : after - 4]))
            self.position += after - offset
            offset = after
        return offset

    def _file_header(self, buffer: bytes) -> int:
        if not b"FLV\x01".startswith(buffer[:4]):
            raise FlvError("not an FLV file: it does not begin with FLV and version 1")
        if len(buffer) < _HEADER_START:
            return 0
        length = int.from_bytes(buffer[5:9], "big")
        if not _HEADER_START <= length <= _HEADER_MAX:
            raise FlvError(f"FLV header of {length} bytes")
        return length + 4 if len(buffer) >= length + 4 else 0
