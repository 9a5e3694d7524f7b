"""One running clock for media from many files and connections. Pure: times are milliseconds on either clock."""

from typing import Final

#: A step back or ahead larger than this is a jump of the source's clock, not a late packet or a pause.
BACK_MAX: Final = 1_000
AHEAD_MAX: Final = 10_000
#: Between the end of one piece and the beginning of the next, where nothing says how long the last frame lasts.
STEP: Final = 40


class OutputClock:
    """Places packets so that decoding times never go back and pieces follow each other without a gap."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._last: dict[str, int] = {}
        self._length: dict[str, int] = {}

    def new_piece(self) -> None:
        """What comes now has another clock: another file, or the same from its beginning."""
        self._offset = None

    def place(self, track: str, dts: int, duration: int = 0) -> int:
        """The output time of a packet at `dts` of the source; `duration` is how long it lasts, 0 if unknown."""
        last = self._last.get(track)
        offset = self._offset
        jumped = last is not None and offset is not None and not -BACK_MAX <= dts + offset - last <= AHEAD_MAX
        if offset is None or jumped:
            offset = self._offset = self._end() - dts
        out = max(dts + offset, 0 if last is None else last)
        if last is not None and 0 < out - last < BACK_MAX:
            self._length[track] = out - last
        elif duration:
            self._length.setdefault(track, duration)
        self._last[track] = out
        return out

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self._end()

    def _end(self) -> int:
        return max((last + self._length.get(track, STEP) for track, last in self._last.items()), default=0)
