"""How a libav muxer learns of tracks without reading the stream: from a tiny FLV made of their sequence headers.

libav gives a muxer's stream its codec header only by copying another stream. So an FLV of a few hundred bytes is made
in memory and opened; no frame is needed and nothing is guessed (0.3 ms, measured).
"""

import io
from fractions import Fraction
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, AudioCodec, AudioTrack, Tag, VideoCodec, VideoTrack
from livereel.flv.codecs import parse_audio, parse_video
from livereel.flv.tags import FLV_HEADER, encode_tags
from livereel.recorder.muxing.port import CannotMux
from livereel.recorder.packets import Tracks

MILLISECONDS: Final = Fraction(1, 1000)

# Sequence headers as libav's FLV reader wants them: it knows HEVC only in the Enhanced RTMP form.
_VIDEO_PREFIX: Final = {
    VideoCodec.H264: b"\x17\x00\x00\x00\x00",
    VideoCodec.H265: b"\x90hvc1",
    VideoCodec.AV1: b"\x90av01",
    VideoCodec.VP9: b"\x90vp09",
}
_AUDIO_PREFIX: Final = {AudioCodec.AAC: b"\xaf\x00", AudioCodec.OPUS: b"\x90Opus"}
# MP3 has no sequence header: one frame header (MPEG-1 layer III, 128 kbit/s) stands in for a frame.
_MP3_STAND_IN: Final = b"\x2f\xff\xfb\x90\x00" + bytes(413)


def add_streams(container: OutputContainer, tracks: Tracks) -> dict[int, Stream]:
    """Add a stream per track to `container`; gives them by tag kind. Raises CannotMux."""
    tags = []
    if tracks.video is not None:
        tags.append(Tag(TAG_VIDEO, 0, _video_header(tracks.video)))
    if tracks.audio is not None:
        tags.append(Tag(TAG_AUDIO, 0, _audio_header(tracks.audio)))
    head = io.BytesIO(FLV_HEADER + encode_tags(tags))
    streams: dict[int, Stream] = {}
    with av.open(head, format="flv", options={"probesize": "32", "analyzeduration": "0"}) as source:
        for template in source.streams:
            # `opaque`: AV1 is read with a decoder that has no encoder of its name, which libav must not look for.
            stream = container.add_stream_from_template(template, opaque=True)
            stream.time_base = MILLISECONDS
            if isinstance(stream, VideoStream) and tracks.video is not None:
                stream.width, stream.height = tracks.video.width, tracks.video.height
                if tracks.video.codec is VideoCodec.VP9 and (pixels := _vp9_pixels(tracks.video)) is not None:
                    stream.pix_fmt = pixels
                streams[TAG_VIDEO] = stream
            elif isinstance(stream, AudioStream) and tracks.audio is not None:
                if tracks.audio.sample_rate:
                    stream.codec_context.sample_rate = tracks.audio.sample_rate
                streams[TAG_AUDIO] = stream
    if len(streams) != len(tags):
        raise CannotMux("libav does not recognise the codec headers of this stream")
    return streams


def _video_header(track: VideoTrack) -> bytes:
    prefix = _VIDEO_PREFIX.get(track.codec)
    if prefix is None or not track.header:
        raise CannotMux(f"video codec {track.codec} cannot be muxed without a known codec header")
    header = parse_video(track.header)
    return prefix + track.header[header.data_offset : header.data_end]


def _vp9_pixels(track: VideoTrack) -> str | None:
    """The pixel format by the codec header (VP Codec ISO Media File Format Binding 1.0, 2.2).

    libav's MP4 muxer writes an empty codec box without it, and such a file cannot be opened.
    """
    header = parse_video(track.header)
    body = track.header[header.data_offset : header.data_end]
    if len(body) < 7:
        return None
    depth, chroma = body[6] >> 4, body[6] >> 1 & 0x07
    planes = {0: "yuv420p", 1: "yuv420p", 2: "yuv422p", 3: "yuv444p"}.get(chroma)
    suffix = {8: "", 10: "10le", 12: "12le"}.get(depth)
    return None if planes is None or suffix is None else planes + suffix


def _audio_header(track: AudioTrack) -> bytes:
    if track.codec is AudioCodec.MP3:
        return _MP3_STAND_IN
    prefix = _AUDIO_PREFIX.get(track.codec)
    if prefix is None or not track.header:
        raise CannotMux(f"audio codec {track.codec} cannot be muxed without a known codec header")
    header = parse_audio(track.header)
    return prefix + track.header[header.data_offset : header.data_end]
