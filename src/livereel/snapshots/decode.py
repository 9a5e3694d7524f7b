"""From coded frames to a JPEG, with libav. Only worker processes import this."""

from fractions import Fraction
from typing import Final, NamedTuple

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from livereel.domain.media import VideoCodec
from livereel.streams.pictures import CodedPicture

#: Larger pictures are refused before memory is taken for them: 8K is 7680 x 4320.
MAX_PIXELS: Final = 8192 * 4352
#: Scale of the JPEG quantiser, 2 (best) to 31. 4 shows no blocks and makes about 150 kB of a busy 1080p picture.
QUALITY: Final = 4

_DECODERS: Final = {
    VideoCodec.H264: "h264",
    VideoCodec.H265: "hevc",
    VideoCodec.AV1: "libdav1d",
    VideoCodec.VP9: "vp9",
}

av.logging.set_level(None)  # what goes wrong comes as an exception


class CannotPicture(Exception):
    """The frames cannot be decoded; the text says why."""


class Jpeg(NamedTuple):
    """A JPEG file and its size in pixels."""

    data: bytes
    width: int
    height: int


def jpeg(picture: CodedPicture) -> Jpeg:
    """The last frame of `picture` as a JPEG. Raises CannotPicture."""
    name = _DECODERS.get(picture.codec)
    if name is None:
        raise CannotPicture(f"pictures of {picture.codec} video are not supported")
    try:
        return _encode(_decode(name, picture))
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise CannotPicture(f"{picture.codec} video cannot be decoded: {error}") from error


def _decode(name: str, picture: CodedPicture) -> VideoFrame:
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1  # one picture at a time; the pool decides how many cores that takes
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    if picture.header and picture.codec is not VideoCodec.VP9:
        decoder.extradata = picture.header
    found: VideoFrame | None = None
    for number, data in enumerate(picture.frames):
        packet = av.Packet(data)
        packet.pts = packet.dts = number
        packet.time_base = Fraction(1, 25)
        for frame in decoder.decode(packet):
            found = frame
    for frame in decoder.decode(None):
        found = frame
    if found is None:
        raise CannotPicture(f"{picture.codec} video gave no picture")
    return found


def _encode(frame: VideoFrame) -> Jpeg:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"qmin": str(QUALITY), "qmax": str(QUALITY)}
    picture = frame.reformat(format="yuvj420p")
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    return Jpeg(b"".join(bytes(packet) for packet in packets), frame.width, frame.height)
