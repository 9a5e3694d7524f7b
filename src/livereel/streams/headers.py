"""Which tags matter beyond their bytes: sequence headers, onMetaData, key frames.

Most tags are ordinary frames. `notable` sorts those out at one cheap look per tag, so that the exact questions of
`flv.codecs` are asked a few times a second and not once per message.
"""

from collections.abc import Sequence

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.flv.codecs import is_sequence_header

#: AMF0 string "onMetaData" (AMF0 specification, 2.4), the first value of the script tag that describes a stream.
_METADATA_NAME = b"\x02\x00\x0aonMetaData"


#: First bytes of Enhanced RTMP audio that are not plain frames: sequence start, multitrack, ModEx.
_ENHANCED_AUDIO = b"\x90\x95\x97"
#: The same of video, without the frame type: the two kinds of sequence start, multitrack, ModEx.
_ENHANCED_VIDEO = b"\x80\x85\x86\x87"
#: How nearly all tags begin: AAC "raw", AVC and HEVC in frames between key frames, and the same in Enhanced RTMP.
_ORDINARY = frozenset(
    [bytes((form, 1)) for form in range(0xA8, 0xB0)]
    + [b"\x27\x01", b"\x2c\x01"]
    + [packet + bytes((codec,)) for packet in (b"\xa1", b"\xa3") for codec in b"ahv"]
)


def notable(tags: Sequence[Tag]) -> list[int]:
    """Indexes of the tags that may be headers, script data or key frames, plus a few that only look so.

    Left out are audio frames whose packet type is "raw" and video that is neither a key frame nor of a packet type for
    headers (FLV 10.1, annex E.4.2 and E.4.3; Enhanced RTMP v2, extended tag headers).
    """
    unusual = [index for index, tag in enumerate(tags) if tag[2][:2] not in _ORDINARY]
    return [index for index in unusual if _may_matter(*tags[index])]


def _may_matter(kind: int, _: int, body: bytes) -> bool:
    if body[1:2] == b"\0":
        return True
    if kind == TAG_AUDIO:
        return body[0:1] in _ENHANCED_AUDIO
    return kind != TAG_VIDEO or not body or body[0] & 0x70 == 0x10 or body[0] & 0x8F in _ENHANCED_VIDEO


class Headers:
    """Keeps the newest header tag of each sort."""

    __slots__ = ("audio", "metadata", "video")

    def __init__(self, metadata: Tag | None = None, video: Tag | None = None, audio: Tag | None = None) -> None:
        self.metadata = metadata
        self.video = video
        self.audio = audio

    def take(self, tag: Tag) -> bool:
        """Keep `tag` if it is a header; says whether it was one."""
        kind, _, body = tag
        if kind == TAG_VIDEO:
            if not is_sequence_header(kind, body):
                return False
            self.video = tag
        elif kind == TAG_AUDIO:
            if not is_sequence_header(kind, body):
                return False
            self.audio = tag
        elif body.startswith(_METADATA_NAME):
            self.metadata = tag
        else:
            return False
        return True

    def at(self, timestamp: int) -> list[Tag]:
        """The headers in the order a player wants them, all with `timestamp` (ms)."""
        return [tag._replace(timestamp=timestamp) for tag in (self.metadata, self.video, self.audio) if tag]
