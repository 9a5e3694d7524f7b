"""HLS media playlists (RFC 8216): EVENT while the file grows, VOD with an end when it is complete."""

from datetime import UTC, datetime
from math import floor
from typing import NamedTuple
from urllib.parse import quote


class Slice(NamedTuple):
    """One TS slice of a file, with its number from 0. Times are Unix seconds, `duration` seconds, `size` bytes."""

    name: str
    number: int
    started_at: float
    ended_at: float
    duration: float
    size: int
    sha256: str


class Playlist:
    """The text of a playlist that only ever grows at its end."""

    def __init__(self, slice_duration: int = 1) -> None:
        # RFC 8216 section 6.2.1: the target must not change. It is fixed by the configured duration as long as key
        # frames come at least that often; with rarer ones the first slice shows it.
        self._target = slice_duration
        self._body: list[str] = []

    def add(self, path: str, started_at: float, duration: float, *, discontinuity: bool = False) -> None:
        """Append a slice: `path` is relative to the playlist, `started_at` Unix seconds, `duration` seconds.

        `discontinuity`: its timestamps do not go on from those of the slice before.
        """
        self._target = max(self._target, floor(duration + 0.5))
        moment = datetime.fromtimestamp(started_at, UTC).isoformat(timespec="milliseconds")
        self._body.append(
            ("#EXT-X-DISCONTINUITY\n" if discontinuity else "")
            + f"#EXT-X-PROGRAM-DATE-TIME:{moment.replace('+00:00', 'Z')}\n"
            + f"#EXTINF:{duration:.3f},\n{quote(path, safe='/-_.~@+=,!$()')}\n"
        )

    def text(self, *, complete: bool) -> str:
        """The whole playlist."""
        kind = "VOD" if complete else "EVENT"
        head = (
            "#EXTM3U\n#EXT-X-VERSION:3\n"
            f"#EXT-X-TARGETDURATION:{self._target}\n"
            "#EXT-X-MEDIA-SEQUENCE:0\n"
            f"#EXT-X-PLAYLIST-TYPE:{kind}\n"
            "#EXT-X-INDEPENDENT-SEGMENTS\n"
        )
        return head + "".join(self._body) + ("#EXT-X-ENDLIST\n" if complete else "")


def count_slices(text: str) -> int:
    """How many slices a playlist names."""
    return sum(line.startswith("#EXTINF:") for line in text.splitlines())


def with_first(slices: int, text: str) -> str:
    """The beginning of a growing playlist: as it was when it named only so many slices."""
    lines = text.splitlines(keepends=True)
    names = [number for number, line in enumerate(lines) if not line.startswith("#")]
    if slices >= len(names):
        return text
    end = names[slices - 1] + 1 if slices else next(n for n, line in enumerate(lines) if "PROGRAM-DATE-TIME" in line)
    return "".join(lines[:end]).replace("#EXT-X-PLAYLIST-TYPE:VOD\n", "#EXT-X-PLAYLIST-TYPE:EVENT\n", 1)
