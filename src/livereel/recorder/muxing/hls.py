"""HLS: TS slices of whole GOPs and a playlist beside them that is valid at every moment.

A slice ends at the first key frame `slice_duration` after it began, or after an interruption of the stream: else it
would reach over hours or days in which nothing was received, and so would each index that names it. Its name holds its
end time, so it is written under a working name and renamed; the playlist names it after that.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from livereel.domain.media import AudioCodec, VideoCodec
from livereel.recorder.muxing.playlist import Playlist, Slice, count_slices
from livereel.recorder.muxing.port import BadPacket, CannotMux, Written
from livereel.recorder.muxing.ts import Continuity, TsSlice
from livereel.recorder.packets import Packet, Tracks

PLAYLIST_NAME: Final = "recording.m3u8"
_WORKING_NAME: Final = "slice.part"
# libav writes AV1 into MPEG-TS without a word, as a file with no streams; Opus in TS is not part of HLS.
_VIDEO: Final = frozenset((VideoCodec.H264, VideoCodec.H265))
_AUDIO: Final = frozenset((AudioCodec.AAC, AudioCodec.MP3))

#: Seconds of interruption above which another slice begins; less is a matter of buffers along the way.
_AWAY: Final = 1.0

#: (start, end, number from 0) of a slice, wall times in Unix seconds, to its file name
Namer = Callable[[float, float, int], str]
#: (media time in ms, publish) of a packet to Unix seconds
WallClock = Callable[[int, int], float]


class HlsWriter:
    """A `FileWriter` for HLS in a directory of its own.

    `on_slice` hears of every slice when it is complete, `on_playlist` of every new playlist. Made again after a
    restart, it leaves the longer playlist of its former life in place until it has caught up.
    """

    def __init__(
        self,
        directory: Path,
        tracks: Tracks,
        *,
        slice_duration: int,
        namer: Namer,
        wall: WallClock,
        on_slice: Callable[[Slice], None],
        on_playlist: Callable[[Path], None],
    ) -> None:
        if tracks.video is not None and tracks.video.codec not in _VIDEO:
            raise CannotMux(f"HLS is written with MPEG-TS slices, which do not carry {tracks.video.codec} video")
        if tracks.audio is not None and tracks.audio.codec not in _AUDIO:
            raise CannotMux(f"HLS is written with MPEG-TS slices, which do not carry {tracks.audio.codec} audio")
        self._directory = directory
        self._path = directory / PLAYLIST_NAME
        self._tracks = tracks
        self._longest = slice_duration * 1000
        self._namer = namer
        self._wall = wall
        self._on_slice = on_slice
        self._on_playlist = on_playlist
        self._playlist = Playlist(slice_duration)
        self._published = count_slices(self._path.read_text()) if self._path.exists() else 0
        self._continuity = Continuity()
        self._slices: list[Slice] = []
        self._names: set[str] = set()
        self._slice: TsSlice | None = None
        self._slice_start = 0
        self._slice_wall = 0.0
        self._last_wall = 0.0  # wall time of file time 0 by the latest packet
        self._publish = 0  # of the latest packet that a slice might begin with

    def write(self, packet: Packet, dts: int) -> None:
        """See `FileWriter`."""
        if dts < 0:
            raise BadPacket(f"{dts} ms before the start of the file")
        may_cut = packet.is_key or self._tracks.video is None
        is_long = dts - self._slice_start >= self._longest
        if self._slice is not None and may_cut and (is_long or self._was_away(packet, dts)):
            self._end_slice(dts)
            self._renew_playlist(complete=False)
        if self._slice is None:
            self._slice_start = dts
            self._slice_wall = self._wall(packet.dts, packet.publish)
            self._slice = TsSlice(self._directory / _WORKING_NAME, self._tracks, self._continuity)
        if may_cut:
            self._last_wall = self._wall(packet.dts, packet.publish) - dts / 1000
            self._publish = packet.publish
        self._slice.write(packet, dts)

    def stable_end(self) -> int:
        """See `FileWriter`. Slices are reported one by one."""
        return 0

    def close(self, end: int) -> Written:
        """See `FileWriter`. The size is that of all slices and the playlist."""
        self._end_slice(end)
        text = self._renew_playlist(complete=True)
        size = sum(piece.size for piece in self._slices) + len(text)
        pieces = [
            {"name": piece.name, "duration": piece.duration, "size": piece.size, "sha256": piece.sha256}
            for piece in self._slices
        ]
        return Written(self._path, size, {"slices": pieces})

    def abort(self) -> None:
        """See `FileWriter`."""
        if self._slice is not None:
            self._slice.abort()

    def _was_away(self, packet: Packet, dts: int) -> bool:
        """Whether the stream was interrupted before `packet`."""
        if packet.publish == self._publish:
            return False
        return self._wall(packet.dts, packet.publish) - dts / 1000 - self._last_wall > _AWAY

    def _end_slice(self, end: int) -> None:
        if self._slice is None:
            return
        piece, self._slice = self._slice, None
        size, sha256 = piece.close()
        ended_at = self._last_wall + end / 1000
        name = self._unique(self._namer(self._slice_wall, ended_at, len(self._slices)))
        path = piece.path.replace(self._directory / name)
        duration = (end - self._slice_start) / 1000
        # A wall clock that was set back within the slice must not make it end before it began.
        ended_at = max(ended_at, self._slice_wall + duration)
        done = Slice(path.name, len(self._slices), self._slice_wall, ended_at, duration, size, sha256)
        self._slices.append(done)
        self._playlist.add(done.name, done.started_at, done.duration)
        self._on_slice(done)

    def _unique(self, name: str) -> str:
        """A template may leave out whatever tells slices apart."""
        if name in self._names:
            name = f"{name.removesuffix('.ts')}-{len(self._slices)}.ts"
        self._names.add(name)
        return name

    def _renew_playlist(self, *, complete: bool) -> bytes:
        text = self._playlist.text(complete=complete).encode()
        if complete or len(self._slices) > self._published:
            working = self._path.with_suffix(".part")
            working.write_bytes(text)
            working.replace(self._path)
            self._on_playlist(self._path)
        return text
