"""Several pushes of one stream (`domain/stream-backup`): the first is live, the others wait behind it and take over.

A push that waits keeps, in a ring of its own, everything from its last key frame before the newest media of the live
push on. So whenever the live push breaks, and however late that is noticed, nothing is missing:

- If both send the very same tags (one encoder, two ways through the network), the stream goes on with the tag after
  the last one that the broken push sent, even if that is still under way.
- Otherwise it goes on with the last key frame that the waiting push sent before the broken one fell silent. What both
  have sent since that key frame is there twice: at most a group of pictures and `MARGIN`.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.domain.messages import Publish
from livereel.streams.ring import Group
from livereel.streams.stream import Stream

#: Seconds by which arrivals of two pushes are compared too early. Sockets are read three times a second, and encoders
#: differ by some frames; a switch that is this early doubles a little, one that is late would lose it.
MARGIN = 1.0
#: Pushes that may wait behind a live one: each has a ring of up to 32 MiB. Real set-ups have a main and a backup.
STANDBYS_MAX = 4
#: Frames that two pushes must have in common to count as the same.
_COMMON_MIN = 3


class Push(Protocol):
    """What one publisher feeds: a live stream, or a place behind it."""

    key: StreamKey
    publish: Publish

    @property
    def congested(self) -> bool:
        """True while no more tags are wanted; those handed over are kept."""
        ...

    def feed(self, tags: list[Tag], now: float, steady: float | None = None) -> None:
        """Take the next tags, in the order they came."""
        ...


class Role(StrEnum):
    """Where a push that came second stands."""

    STANDBY = "waits behind the live push"
    LIVE = "is live"
    OVER = "is over"


class Turn(StrEnum):
    """What happens to it."""

    PROMOTE = "the push before it broke"
    END = "it broke or ended"


TABLE: dict[Role, dict[Turn, Role]] = {
    Role.STANDBY: {Turn.PROMOTE: Role.LIVE, Turn.END: Role.OVER},
    Role.LIVE: {Turn.END: Role.OVER},
    Role.OVER: {},
}


class Standby:
    """A push behind the live one of its stream, until it takes over. `now` is Unix time."""

    def __init__(self, live: Stream, publish: Publish, now: float) -> None:
        self.key = live.key
        self.publish = publish
        self.live = live
        self.role = Role.STANDBY
        self._own = Stream(live.key, publish, live.project_id, now)
        self._seam: Seam | None = None
        live.remember_tail()

    @property
    def congested(self) -> bool:
        """Only what is live can be held back; a ring has bounds of its own."""
        return self.role is Role.LIVE and self.live.congested

    def feed(self, tags: list[Tag], now: float, steady: float | None = None) -> None:
        """To the stream when live, else into the ring."""
        if self.role is not Role.LIVE:
            self._own.keep(max(0.0, now - self.live.heard_at) + MARGIN)
            self._own.feed(tags, now, steady)
            return
        if self._seam is not None:
            tags = self._seam.behind(tags)
            if self._seam.is_passed:
                self._seam = None
        if tags:
            self.live.feed(tags, now, steady)

    def take_over(self, now: float) -> bool:
        """Go on with the stream in place of a push that broke; True if its tags go on without a seam."""
        self._turn(Turn.PROMOTE)
        groups = self._own.groups()
        self._seam = Seam.find(list(self.live.tail()), groups)
        if self._seam is None:
            self.live.go_on(self._own, self.live.heard_at - MARGIN, None)
            return False
        rest = [Group(group.headers, group.wall, self._seam.behind(group.tags)) for group in groups]
        self.live.go_on(self._own, self.live.heard_at, [group for group in rest if group.tags])
        return True

    def end(self) -> None:
        """It is over."""
        self._turn(Turn.END)

    def _turn(self, turn: Turn) -> None:
        self.role = TABLE[self.role][turn]


class Seam:
    """Where the tags of a broken push end within the very same tags of another, which may be some way behind."""

    def __init__(self, last: dict[int, int]) -> None:
        self._last = last  # stamp of the last tag of each kind
        self._behind: set[int] = set()  # kinds that have gone beyond it

    @classmethod
    def find(cls, tail: Sequence[Sequence[Tag]], groups: Sequence[Group]) -> "Seam | None":
        """The seam between the last tags of one push and what another sent, or None if they are not the same."""
        ours = [tag for batch in tail for tag in batch if tag.kind == TAG_VIDEO]
        theirs = [tag for group in groups for tag in group.tags if tag.kind == TAG_VIDEO]
        if not ours or not theirs or not (_ends_within(ours, theirs) or _ends_within(theirs, ours)):
            return None
        last = {tag.kind: tag.timestamp for batch in tail for tag in batch}
        # Script data has no place of its own among the frames: what came before the last picture is old.
        last[TAG_SCRIPT] = last[TAG_VIDEO]
        last.setdefault(TAG_AUDIO, last[TAG_VIDEO])
        return cls(last)

    @property
    def is_passed(self) -> bool:
        """True when nothing of what follows was sent by the broken push."""
        return self._behind >= {TAG_VIDEO, TAG_AUDIO}

    def behind(self, tags: Sequence[Tag]) -> list[Tag]:
        """Those of `tags` that the broken push has not sent."""
        found = []
        for tag in tags:
            if tag.kind in self._behind or _is_later(tag.timestamp, self._last[tag.kind]):
                self._behind.add(tag.kind)
                found.append(tag)
        return found


def _ends_within(some: list[Tag], others: list[Tag]) -> bool:
    """Whether the end of `some` is part of `others`, and all before it is the same as far as both reach back."""
    end = next((place for place in range(len(others), 0, -1) if others[place - 1] == some[-1]), 0)
    common = min(end, len(some))
    # A single frame may be the same by chance: one of a picture that does not move has few bytes.
    return common >= _COMMON_MIN and some[-common:] == others[end - common : end]


def _is_later(stamp: int, other: int) -> bool:
    """Stamps are 32 bits wide and go round."""
    return 0 < (stamp - other) % (1 << 32) < 1 << 31
