"""What a sequence header says about its track: picture size, sample rate, channels."""

from collections.abc import Mapping
from typing import Final

from livereel.amf.values import Value
from livereel.domain.media import AudioCodec, AudioTrack, VideoCodec, VideoTrack
from livereel.flv import parameters
from livereel.flv.bits import BitReader
from livereel.flv.codecs import parse_audio, parse_video
from livereel.flv.tags import FlvError

# ISO/IEC 14496-3, table 1.18; index 15 means that the rate follows as a number.
_AAC_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_EXPLICIT_RATE: Final = 15
_AAC_CHANNELS: Final = {**{count: count for count in range(1, 7)}, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}
_AAC_ESCAPE: Final = 31
_AAC_SBR: Final = 5
_AAC_PS: Final = 29
_FLV_RATES: Final = (5512, 11025, 22050, 44100)  # FLV specification 10.1, E.4.2.1, SoundRate
_OPUS_RATE: Final = 48000  # Opus always decodes at 48 kHz (RFC 7845 section 5.1)


def video_track(body: bytes, metadata: Mapping[str, Value] | None = None) -> VideoTrack:
    """The track of a video tag body, usually a sequence header.

    Size comes from the codec header, else from the `width` and `height` of `metadata` (onMetaData), else 0; the frame
    rate only from `metadata`. A damaged codec header gives what is known without it. Raises FlvError if the body is too
    short for its tag header.
    """
    header = parse_video(body)
    metadata = metadata or {}
    size: tuple[int, int] | None = None
    parse = _SIZE_PARSERS.get(header.codec)
    if header.is_sequence_header and parse is not None:
        try:
            size = parse(body[header.data_offset : header.data_end])
        except (FlvError, IndexError):
            size = None
    if size is None:
        size = _positive(metadata.get("width")), _positive(metadata.get("height"))
    rate = metadata.get("framerate")
    frame_rate = float(rate) if isinstance(rate, float) and 0 < rate < 1000 else None
    return VideoTrack(header.codec, size[0], size[1], frame_rate, body if header.is_sequence_header else b"")


def audio_track(body: bytes) -> AudioTrack:
    """The track of an audio tag body, usually a sequence header. For HE-AAC the rate is that of the decoder's output.

    Raises FlvError if the body is too short for its tag header.
    """
    header = parse_audio(body)
    rate, channels = (0, 0) if header.enhanced else _legacy_format(body[0])
    kept = b""
    if header.is_sequence_header:
        kept = body
        data = body[header.data_offset : header.data_end]
        try:
            if header.codec is AudioCodec.AAC:
                rate, channels = _audio_specific_config(data)
            elif header.codec is AudioCodec.OPUS:
                rate, channels = _OPUS_RATE, _opus_channels(data)
        except FlvError:
            pass  # the track exists all the same; a player may still make sense of it
    return AudioTrack(header.codec, rate, channels, kept)


def _positive(value: Value) -> int:
    return int(value) if isinstance(value, float) and 0 < value < 0x10000 else 0


def _legacy_format(first: int) -> tuple[int, int]:
    return _FLV_RATES[first >> 2 & 3], 2 if first & 1 else 1


def _opus_channels(data: bytes) -> int:
    return data[9] if data.startswith(b"OpusHead") and len(data) > 9 else 2


def _audio_specific_config(data: bytes) -> tuple[int, int]:
    """(sample rate, channels) of an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1)."""
    bits = BitReader(data[:64])
    kind = _audio_object_type(bits)
    rate = _sampling_frequency(bits)
    channels = _AAC_CHANNELS.get(bits.read(4), 0)
    if kind in (_AAC_SBR, _AAC_PS):
        rate = _sampling_frequency(bits)
        channels = 2 if kind == _AAC_PS else channels  # parametric stereo makes two channels of one
    return rate, channels


def _audio_object_type(bits: BitReader) -> int:
    kind = bits.read(5)
    return 32 + bits.read(6) if kind == _AAC_ESCAPE else kind


def _sampling_frequency(bits: BitReader) -> int:
    index = bits.read(4)
    if index == _AAC_EXPLICIT_RATE:
        return bits.read(24)
    if index >= len(_AAC_RATES):
        raise FlvError(f"AAC sampling frequency index {index} is reserved")
    return _AAC_RATES[index]


_SIZE_PARSERS: Final = {
    VideoCodec.H264: parameters.avc_size,
    VideoCodec.H265: parameters.hevc_size,
    VideoCodec.AV1: parameters.av1_size,
}
