"""Reading a source with libav: packets of its best video and audio track. Only worker processes import this.

libav opens nothing itself: HTTP comes through file objects (HLS playlists and segments too), RTMP and RTSP through a
relay, and any other protocol is switched off. Formats are limited to those that are media and nothing else.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from livereel.callbacks.guard import TargetGuard
from livereel.pulls.net import place, rtmp_names
from livereel.pulls.relay import Relay
from livereel.pulls.web import HttpStream, open_url

OPEN_TIMEOUT: Final = 20.0  # seconds
READ_TIMEOUT: Final = 20.0  # seconds
VIDEO, AUDIO = "video", "audio"

#: What RTMP carries and our recorder knows.
_CODECS: Final = frozenset({"h264", "hevc", "av1", "libdav1d", "vp9", "aac", "mp3", "mp3float", "opus", "libopus"})
#: Containers and playlists; none of them can name local files.
_FORMATS: Final = "flv,live_flv,hls,mpegts,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,ogg"
_PLAYLIST_TYPES: Final = frozenset(
    {"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl"}
)
_NO_PROTOCOL: Final = "none"

av.logging.set_level(None)  # what goes wrong comes as an exception


class SourceFailed(OSError):
    """The source cannot be opened or read."""


@dataclass(slots=True)
class SourceTrack:
    """A track as the output needs it. `header` is the codec's configuration where the stream itself lacks it."""

    stream: VideoStream | AudioStream
    header: bytes | None
    strips_adts: bool = False

    @property
    def signature(self) -> tuple[Any, ...]:
        """What must not change within one push."""
        context = self.stream.codec_context
        header = self.header if self.header is not None else context.extradata
        if isinstance(self.stream, VideoStream):
            return context.name, header, self.stream.width, self.stream.height
        return context.name, header, self.stream.codec_context.sample_rate, self.stream.codec_context.channels


@dataclass(frozen=True, slots=True)
class SourcePacket:
    """One packet; times are milliseconds on the source's clock. `packet` is libav's own, header stripped."""

    track: str
    packet: Any
    dts: int
    pts: int
    duration: int
    is_key: bool


class Source:
    """An open source. `left_out` names tracks that cannot be pushed."""

    def __init__(self, url: str, guard: TargetGuard) -> None:
        self._relay: Relay | None = None
        self._files: list[HttpStream] = []
        self._container: InputContainer | None = None
        self.left_out: list[str] = []
        self.tracks: dict[str, SourceTrack] = {}
        self.is_playlist = False
        self._held: list[Any] = []
        self._begin_at: float | None = None  # milliseconds of the source's clock
        try:
            self._container = self._open(url, guard)
            self._choose(self._container)
        except av.FFmpegError as error:
            self.close()
            raise SourceFailed(self._reason(error)) from error
        except BaseException:
            self.close()
            raise

    def seek(self, seconds: float) -> None:
        """Begin at the last key frame before `seconds`; where the server gives no ranges, at the first after it."""
        assert self._container is not None
        start = self._container.start_time or 0
        self._held = []
        try:
            self._container.seek(start + int(seconds * 1_000_000))
        except av.FFmpegError:
            self._begin_at = start / 1000 + seconds * 1000

    def packets(self) -> Iterator[SourcePacket]:
        """Packets from the first key frame on, to the end of the source. Raises SourceFailed."""
        assert self._container is not None
        streams = [track.stream for track in self.tracks.values()]
        names = {track.stream.index: name for name, track in self.tracks.items()}
        waiting = VIDEO in self.tracks
        try:
            for packet in self._with_held(self._container.demux(streams)):
                name = names.get(packet.stream_index)
                if name is None or packet.dts is None or not packet.size or packet.is_corrupt:
                    continue
                if waiting and not (name == VIDEO and packet.is_keyframe):
                    continue
                found = self._milliseconds(name, packet)
                if self._begin_at is not None and found.dts < self._begin_at:
                    continue
                waiting, self._begin_at = False, None
                yield found
        except (av.FFmpegError, OSError) as error:
            raise SourceFailed(self._reason(error)) from error

    def close(self) -> None:
        """Let go of everything."""
        if self._container is not None:
            with contextlib.suppress(Exception):
                self._container.close()
        if self._relay is not None:
            self._relay.close()
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()

    def _with_held(self, rest: Iterator[Any]) -> Iterator[Any]:
        held, self._held = self._held, []
        yield from held
        yield from rest

    def _milliseconds(self, name: str, packet: Any) -> SourcePacket:
        base = packet.time_base
        scale = 1000 * base.numerator / base.denominator
        dts = round(packet.dts * scale)
        pts = dts if packet.pts is None else round(packet.pts * scale)
        duration = round((packet.duration or 0) * scale)
        key = bool(packet.is_keyframe)
        if self.tracks[name].strips_adts:
            packet = _without_adts(packet)
        return SourcePacket(name, packet, dts, max(pts, dts), duration, key)

    def _open(self, url: str, guard: TargetGuard) -> InputContainer:
        where = place(url)
        timeout = (OPEN_TIMEOUT, READ_TIMEOUT)
        if where.scheme in ("http", "https"):
            return self._open_http(url, guard, timeout)
        self._relay = Relay(where, guard, READ_TIMEOUT)
        user = urlsplit(url).netloc.rpartition("@")[0]
        near = f"{user + '@' if user else ''}127.0.0.1:{self._relay.port}"
        options = {"format_whitelist": "flv,live_flv,rtsp,sdp"}
        if where.scheme.startswith("rtsp"):
            options |= {
                "protocol_whitelist": "rtsp,rtp,tcp",
                "rtsp_transport": "tcp",
                "allowed_media_types": "video+audio",
            }
            return av.open(f"rtsp://{near}{where.target}", format="rtsp", options=options, timeout=timeout)
        app, name = rtmp_names(where)
        options |= {
            "protocol_whitelist": "rtmp,tcp",
            "rtmp_live": "live",
            "rtmp_app": app,
            "rtmp_playpath": name,
            "rtmp_tcurl": f"{where.scheme}://{where.authority}/{app}",
        }
        return av.open(f"rtmp://{near}{where.target}", format="live_flv", options=options, timeout=timeout)

    def _open_http(self, url: str, guard: TargetGuard, timeout: tuple[float, float]) -> InputContainer:
        first: HttpStream | None = open_url(url, guard)
        assert first is not None
        self._files.append(first)
        target = first.url
        playlist = first.content_type in _PLAYLIST_TYPES or urlsplit(target).path.lower().endswith((".m3u8", ".m3u"))
        self.is_playlist = playlist

        def io_open(wanted: str, _flags: int, _options: dict[str, str]) -> HttpStream:
            nonlocal first
            if first is not None and wanted == target:
                opened, first = first, None
            else:
                opened = open_url(wanted, guard)
                self._files = [file for file in self._files if not file.closed]
                self._files.append(opened)
            return opened

        options = {"protocol_whitelist": _NO_PROTOCOL, "format_whitelist": _FORMATS}
        if playlist:
            options |= {
                "http_persistent": "0",
                "http_multiple": "0",
                "allowed_extensions": "ALL",
                "allowed_segment_extensions": "ALL",
                "extension_picky": "0",
            }
        return av.open(target, format="hls" if playlist else None, options=options, io_open=io_open, timeout=timeout)

    def _choose(self, container: InputContainer) -> None:
        """The best video and audio track; everything else is not even fetched."""
        for name, stream in ((VIDEO, container.streams.best("video")), (AUDIO, container.streams.best("audio"))):
            if not isinstance(stream, (VideoStream, AudioStream)):
                continue
            codec = stream.codec_context.name
            if codec in _CODECS:
                self.tracks[name] = SourceTrack(stream, None)
            else:
                self.left_out.append(f"{name} in {codec}")
        chosen = {track.stream.index for track in self.tracks.values()}
        for other in container.streams:
            if other.index not in chosen:
                other.discard = Discard.all
        if not self.tracks:
            found = f": {', '.join(self.left_out)}" if self.left_out else ""
            raise SourceFailed(f"the source has no track that RTMP carries{found}")
        audio = self.tracks.get(AUDIO)
        if audio is not None and audio.stream.codec_context.name == "aac" and not audio.stream.codec_context.extradata:
            self._learn_adts(container, audio)

    def _learn_adts(self, container: InputContainer, audio: SourceTrack) -> None:
        """AAC of MPEG-TS says in every packet what it is; FLV says it once, in front."""
        streams = [track.stream for track in self.tracks.values()]
        for packet in container.demux(streams):
            self._held.append(packet)
            if packet.stream_index == audio.stream.index and packet.size:
                audio.header = _audio_specific_config(bytes(packet)[:7])
                audio.strips_adts = audio.header is not None
                break
            if len(self._held) > _HELD_MAX:
                break
        if not audio.strips_adts:
            del self.tracks[AUDIO]
            self.left_out.append("audio in aac without a header")
        if not self.tracks:
            raise SourceFailed("the source has no track that RTMP carries: audio in aac without a header")

    def _reason(self, error: Exception) -> str:
        if self._relay is not None and self._relay.problem is not None:
            return str(self._relay.problem)
        if isinstance(error, SourceFailed):
            return str(error)
        text = getattr(error, "strerror", None) or str(error)
        return f"the source cannot be read: {text}"


_HELD_MAX: Final = 2000  # packets: a few seconds of video before the first audio


def _audio_specific_config(head: bytes) -> bytes | None:
    """The two bytes of AudioSpecificConfig from an ADTS header (ISO 14496-3, 1.A.2.2 and 1.6.2.1)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    object_type = (head[2] >> 6) + 1
    frequency = head[2] >> 2 & 0x0F
    channels = (head[2] & 1) << 2 | head[3] >> 6
    return bytes((object_type << 3 | frequency >> 1, (frequency & 1) << 7 | channels << 3))


def _without_adts(packet: Any) -> Any:
    data = bytes(packet)
    if len(data) > 9 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        data = data[7 if data[1] & 1 else 9 :]
    return av.Packet(data)
