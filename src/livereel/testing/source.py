"""A test picture and a tone, encoded with libav: real media for tests, the demo and benches. Writes only where told."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from livereel.domain.media import Tag
from livereel.flv.tags import TagReader

# Speed before everything: the picture only has to be decodable. No scene-cut key frames, so that GOPs are regular.
_ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "ultrafast", "sc_threshold": "0"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=error:scenecut=0:pools=1:frame-threads=1"}),
    "av1": ("libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}
_AUDIO_ENCODERS = {"aac": "aac", "mp3": "libmp3lame", "opus": "libopus"}

_Step: TypeAlias = "tuple[float, Callable[[], list[Packet[Any]]]]"  # media time (s) of a frame, and how to encode it


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What to generate. `video` is h264, hevc, av1, vp9 or None; `audio` is aac, mp3, opus or None.

    `b_frames` counts consecutive B-frames (h264 and hevc). `bitrate` is the video's, bit/s, or None. With `noise` in
    place of the tone no two audio frames are alike.
    """

    size: tuple[int, int] = (320, 180)
    fps: int = 30
    gop_seconds: float = 2.0
    video: str | None = "h264"
    audio: str | None = "aac"
    sample_rate: int = 48_000
    channels: int = 2
    b_frames: int = 0
    bitrate: int | None = None
    tone_hz: int = 440
    noise: bool = False


def generate_flv(path: Path, seconds: float, spec: SourceSpec = SourceSpec(), **changes: Any) -> Path:
    """Write `seconds` of media as an FLV file to `path`; `changes` replace members of `spec`."""
    with path.open("wb") as file:
        _generate(file, seconds, _changed(spec, changes))
    return path


def generate_tags(seconds: float, spec: SourceSpec = SourceSpec(), **changes: Any) -> list[Tag]:
    """The same as tags: onMetaData, sequence headers, frames; nothing is written anywhere."""
    buffer = io.BytesIO()
    _generate(buffer, seconds, _changed(spec, changes))
    return TagReader().feed(buffer.getvalue())


def open_output(target: Any, spec: SourceSpec, **options: Any) -> "Encoder":
    """An `Encoder` that writes FLV to `target`: a file object, a path or an rtmp:// URL."""
    container = av.open(target, "w", format="flv", **options)
    return Encoder(container, spec)


class Encoder:
    """Encodes the test picture and tone into an open container, one step of media time after the other."""

    def __init__(self, container: OutputContainer, spec: SourceSpec) -> None:
        self._container = container
        self._sources: list[Iterator[_Step]] = []
        if spec.video is not None:
            self._sources.append(_pictures(_video_stream(container, spec), spec))
        if spec.audio is not None:
            self._sources.append(_tone(_audio_stream(container, spec), spec))
        self._due = [next(source) for source in self._sources]

    def encode_until(self, seconds: float) -> None:
        """Encode and write everything before `seconds` of media time."""
        while self._due:
            first = min(range(len(self._due)), key=lambda index: self._due[index][0])
            at, encode = self._due[first]
            if at >= seconds:
                return
            self._container.mux(encode())
            self._due[first] = next(self._sources[first])

    def close(self) -> None:
        """Write what the encoders still hold and the end of the file."""
        for stream in self._container.streams:
            if isinstance(stream, (VideoStream, AudioStream)):
                self._container.mux(stream.encode(None))
        self._container.close()

    def abort(self) -> None:
        """Close without writing anything more than libav insists on."""
        self._container.close()


def _changed(spec: SourceSpec, changes: dict[str, Any]) -> SourceSpec:
    return SourceSpec(**{name: getattr(spec, name) for name in spec.__slots__} | changes)


def _generate(file: BinaryIO, seconds: float, spec: SourceSpec) -> None:
    # Without these FFmpeg goes back at the end to fill in the duration, which a live stream does not have either.
    encoder = open_output(file, spec, options={"flvflags": "no_duration_filesize"})
    encoder.encode_until(seconds)
    encoder.close()


def _video_stream(container: OutputContainer, spec: SourceSpec) -> VideoStream:
    name, options = _ENCODERS[spec.video or ""]
    gop = max(1, round(spec.gop_seconds * spec.fps))
    options = options | {"g": str(gop), "keyint_min": str(gop)}
    if spec.video in ("h264", "hevc"):
        options["bf"] = str(spec.b_frames)
        if not spec.b_frames and spec.video == "h264":
            options["tune"] = "zerolatency"
    if spec.video == "hevc":
        options["x265-params"] += f":keyint={gop}:min-keyint={gop}:bframes={spec.b_frames}:rc-lookahead=5"
    stream = container.add_stream(name, rate=spec.fps, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = spec.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    if spec.bitrate is not None:
        stream.bit_rate = spec.bitrate
    return stream


def _audio_stream(container: OutputContainer, spec: SourceSpec) -> AudioStream:
    layout = {1: "mono", 2: "stereo"}[spec.channels]
    stream = container.add_stream(_AUDIO_ENCODERS[spec.audio or ""], rate=spec.sample_rate, layout=layout)
    assert isinstance(stream, AudioStream)
    return stream


def _pictures(stream: VideoStream, spec: SourceSpec) -> Iterator[_Step]:
    """One frame after the other, without end."""
    width, height = spec.size
    with av.open(f"testsrc2=size={width}x{height}:rate={spec.fps}", format="lavfi") as source:
        for number, frame in enumerate(source.decode(video=0)):
            picture = frame.reformat(format="yuv420p")
            picture.pict_type = PictureType.NONE  # else every frame is coded as the key frame it was generated as
            picture.pts, picture.time_base = number, Fraction(1, spec.fps)
            yield number / spec.fps, partial(stream.encode, picture)


def _tone(stream: AudioStream, spec: SourceSpec) -> Iterator[_Step]:
    layout = {1: "mono", 2: "stereo"}[spec.channels]
    sound = f"sine=frequency={spec.tone_hz}" if not spec.noise else "anoisesrc=seed=1:amplitude=0.2"
    graph = f"{sound}:sample_rate={spec.sample_rate},aformat=channel_layouts={layout}"
    resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=spec.sample_rate)
    with av.open(graph, format="lavfi") as source:
        samples = 0
        for raw in source.decode(audio=0):
            for frame in resampler.resample(raw):
                frame.pts, frame.time_base = samples, Fraction(1, spec.sample_rate)
                yield samples / spec.sample_rate, partial(stream.encode, frame)
                samples += frame.samples
