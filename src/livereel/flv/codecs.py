"""What the first bytes of a tag body say about its codec.

Legacy headers: Adobe FLV file format specification 10.1, annex E.4.2 and E.4.3, with codec id 12 for HEVC as many
Chinese encoders send it. FourCC headers: Enhanced RTMP v2, sections "Enhanced Audio" and "Enhanced Video", with ModEx
prefixes skipped and multitrack reduced to its first track.
"""

from typing import Final, NamedTuple

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, AudioCodec, VideoCodec
from livereel.flv.tags import FlvError


class VideoHeader(NamedTuple):
    """The header of a video tag body. `composition_time` is milliseconds, signed; codec data is body[offset:end]."""

    codec: VideoCodec
    is_keyframe: bool
    is_sequence_header: bool
    is_end_of_sequence: bool
    composition_time: int
    data_offset: int
    data_end: int
    enhanced: bool
    track: int = 0
    is_command: bool = False  # neither a frame nor a header: seek commands, HDR metadata


class AudioHeader(NamedTuple):
    """The header of an audio tag body. Codec data is body[data_offset:data_end]."""

    codec: AudioCodec
    is_sequence_header: bool
    is_end_of_sequence: bool
    data_offset: int
    data_end: int
    enhanced: bool
    track: int = 0
    is_command: bool = False  # neither a frame nor a header: channel layout


_LEGACY_VIDEO: Final = {7: VideoCodec.H264, 12: VideoCodec.H265, 13: VideoCodec.AV1}
_LEGACY_AUDIO: Final = {2: AudioCodec.MP3, 10: AudioCodec.AAC, 13: AudioCodec.OPUS, 14: AudioCodec.MP3}
_LEGACY_WITH_PACKET_TYPE: Final = frozenset((10, 13))  # AAC and the unofficial Opus: a byte says header or data
_VIDEO_FOURCC: Final = {
    b"avc1": VideoCodec.H264,
    b"hvc1": VideoCodec.H265,
    b"av01": VideoCodec.AV1,
    b"vp09": VideoCodec.VP9,
}
_AUDIO_FOURCC: Final = {b"mp4a": AudioCodec.AAC, b"Opus": AudioCodec.OPUS, b".mp3": AudioCodec.MP3}
_WITH_COMPOSITION_TIME: Final = frozenset((b"avc1", b"hvc1", b"vvc1"))

_KEY_FRAME: Final = 1
_COMMAND_FRAME: Final = 5
_EX_AUDIO: Final = 9  # the sound format that means "FourCC follows"

# Enhanced RTMP packet types; audio and video share the numbers that both have.
_SEQUENCE_START: Final = 0
_CODED_FRAMES: Final = 1
_SEQUENCE_END: Final = 2
_CODED_FRAMES_X: Final = 3
_METADATA: Final = 4
_TS_SEQUENCE_START: Final = 5  # video: AV1 header in MPEG-2 TS form
_AUDIO_MULTITRACK: Final = 5
_VIDEO_MULTITRACK: Final = 6
_MOD_EX: Final = 7

_ONE_TRACK: Final = 0


def parse_video(body: bytes) -> VideoHeader:
    """The header of a video tag. Raises FlvError if the body is too short for it."""
    try:
        if body[0] & 0x80:
            return _enhanced_video(body)
        return _legacy_video(body)
    except IndexError:
        raise FlvError(f"video tag cut short after {len(body)} bytes") from None


def parse_audio(body: bytes) -> AudioHeader:
    """The header of an audio tag. Raises FlvError if the body is too short for it."""
    try:
        if body[0] >> 4 == _EX_AUDIO:
            return _enhanced_audio(body)
        return _legacy_audio(body)
    except IndexError:
        raise FlvError(f"audio tag cut short after {len(body)} bytes") from None


def is_video_keyframe(body: bytes) -> bool:
    """True for a video tag body that holds a key frame (not just a sequence header). Never raises."""
    if len(body) < 2:
        return False
    first = body[0]
    if first < 0x80:
        if first >> 4 != _KEY_FRAME:
            return False
        return body[1] == 1 or first & 0x0F not in _LEGACY_VIDEO
    if first >> 4 != 0x80 >> 4 | _KEY_FRAME:
        return False
    packet_type = first & 0x0F
    if packet_type in (_CODED_FRAMES, _CODED_FRAMES_X):
        return True
    if packet_type in (_VIDEO_MULTITRACK, _MOD_EX):
        try:
            return parse_video(body).is_keyframe
        except FlvError:
            return False
    return False


def is_sequence_header(kind: int, body: bytes) -> bool:
    """True for an audio or video tag body that holds a codec's sequence header. Never raises."""
    if len(body) < 2:
        return False
    first = body[0]
    if kind == TAG_VIDEO:
        if first < 0x80:
            return body[1] == 0 and first & 0x0F in _LEGACY_VIDEO and first >> 4 != _COMMAND_FRAME
        packet_type = first & 0x0F
        if packet_type in (_VIDEO_MULTITRACK, _MOD_EX):
            try:
                return parse_video(body).is_sequence_header
            except FlvError:
                return False
        return packet_type in (_SEQUENCE_START, _TS_SEQUENCE_START) and first >> 4 & 7 != _COMMAND_FRAME
    if kind == TAG_AUDIO:
        if first >> 4 != _EX_AUDIO:
            return body[1] == 0 and first >> 4 in _LEGACY_WITH_PACKET_TYPE
        packet_type = first & 0x0F
        if packet_type in (_AUDIO_MULTITRACK, _MOD_EX):
            try:
                return parse_audio(body).is_sequence_header
            except FlvError:
                return False
        return packet_type == _SEQUENCE_START
    return False


def _legacy_video(body: bytes) -> VideoHeader:
    frame_type = body[0] >> 4
    codec = _LEGACY_VIDEO.get(body[0] & 0x0F)
    key = frame_type == _KEY_FRAME
    end = len(body)
    if frame_type == _COMMAND_FRAME:
        return VideoHeader(codec or VideoCodec.OTHER, False, False, False, 0, 1, end, False, is_command=True)
    if codec is None:
        return VideoHeader(VideoCodec.OTHER, key, False, False, 0, 1, end, False)
    packet_type = body[1]
    time = _signed24(body, 2)
    coded = packet_type == _CODED_FRAMES
    return VideoHeader(
        codec=codec,
        is_keyframe=key and coded,
        is_sequence_header=packet_type == _SEQUENCE_START,
        is_end_of_sequence=packet_type == _SEQUENCE_END,
        composition_time=time if coded else 0,
        data_offset=5,
        data_end=end,
        enhanced=False,
    )


def _legacy_audio(body: bytes) -> AudioHeader:
    sound_format = body[0] >> 4
    codec = _LEGACY_AUDIO.get(sound_format, AudioCodec.OTHER)
    if sound_format in _LEGACY_WITH_PACKET_TYPE:
        return AudioHeader(codec, body[1] == 0, False, 2, len(body), False)
    return AudioHeader(codec, False, False, 1, len(body), False)


def _enhanced_video(body: bytes) -> VideoHeader:
    frame_type = body[0] >> 4 & 7
    packet_type, at = _skip_mod_ex(body)
    if frame_type == _COMMAND_FRAME and packet_type != _METADATA:
        return VideoHeader(VideoCodec.OTHER, False, False, False, 0, at, len(body), True, is_command=True)
    packet_type, four_cc, at, end, track = _four_cc(body, packet_type, at, _VIDEO_MULTITRACK)
    coded = packet_type in (_CODED_FRAMES, _CODED_FRAMES_X)
    time = 0
    if packet_type == _CODED_FRAMES and four_cc in _WITH_COMPOSITION_TIME:
        time = _signed24(body, at)
        at += 3
    return VideoHeader(
        codec=_VIDEO_FOURCC.get(four_cc, VideoCodec.OTHER),
        is_keyframe=coded and frame_type == _KEY_FRAME,
        is_sequence_header=packet_type in (_SEQUENCE_START, _TS_SEQUENCE_START),
        is_end_of_sequence=packet_type == _SEQUENCE_END,
        composition_time=time,
        data_offset=at,
        data_end=end,
        enhanced=True,
        track=track,
        is_command=packet_type == _METADATA,
    )


def _enhanced_audio(body: bytes) -> AudioHeader:
    packet_type, at = _skip_mod_ex(body)
    packet_type, four_cc, at, end, track = _four_cc(body, packet_type, at, _AUDIO_MULTITRACK)
    return AudioHeader(
        codec=_AUDIO_FOURCC.get(four_cc, AudioCodec.OTHER),
        is_sequence_header=packet_type == _SEQUENCE_START,
        is_end_of_sequence=packet_type == _SEQUENCE_END,
        data_offset=at,
        data_end=end,
        enhanced=True,
        track=track,
        is_command=packet_type not in (_SEQUENCE_START, _CODED_FRAMES, _SEQUENCE_END),
    )


def _skip_mod_ex(body: bytes) -> tuple[int, int]:
    """The packet type behind any ModEx prefixes, and where the byte after it stands."""
    packet_type = body[0] & 0x0F
    at = 1
    while packet_type == _MOD_EX:
        size = body[at] + 1
        at += 1
        if size == 256:
            size = (body[at] << 8 | body[at + 1]) + 1
            at += 2
        at += size
        packet_type = body[at] & 0x0F  # the upper half names the modifier; a nanosecond offset is of no use here
        at += 1
    return packet_type, at


def _four_cc(body: bytes, packet_type: int, at: int, multitrack: int) -> tuple[int, bytes, int, int, int]:
    """(packet type, FourCC, start and end of the codec data, track id); of several tracks the first."""
    end = len(body)
    if packet_type != multitrack:
        return packet_type, _take4(body, at), at + 4, end, 0
    kind, packet_type = body[at] >> 4, body[at] & 0x0F
    four_cc = _take4(body, at + 1)
    track = body[at + 5]
    at += 6
    if kind != _ONE_TRACK:
        size = body[at] << 16 | body[at + 1] << 8 | body[at + 2]
        at += 3
        end = min(end, at + size)
    return packet_type, four_cc, at, end, track


def _take4(body: bytes, at: int) -> bytes:
    if at + 4 > len(body):
        raise IndexError
    return body[at : at + 4]


def _signed24(body: bytes, at: int) -> int:
    number = body[at] << 16 | body[at + 1] << 8 | body[at + 2]
    return number - (1 << 24) if number & 0x800000 else number
