"""The key-frame ring: what a stream sent before a recording begins, in groups of pictures."""

from collections import deque
from dataclasses import dataclass, field

from livereel.domain.media import Tag

#: A group of pictures that is longer than this is not kept: the recording then begins with the next key frame. 20 s
#: hold 10 s groups, the longest encoders make by default.
RING_MAX_SECONDS = 20.0
#: Bytes of all groups; the oldest go first. 32 MiB hold a 10 s group at 25 Mbit/s, or 60 s at 4 Mbit/s.
RING_MAX_BYTES = 32 * 1024 * 1024
#: What a tag takes in memory besides its body, measured with CPython 3.11: a flood of one-byte tags is mostly that.
TAG_MEMORY = 128


def memory_of(tags: list[Tag]) -> int:
    """Bytes that `tags` take."""
    return sum([len(tag[2]) for tag in tags]) + TAG_MEMORY * len(tags)


@dataclass(slots=True)
class Group:
    """A key frame and all tags after it up to the next. `headers` have its timestamp, `wall` is when it arrived."""

    headers: list[Tag]
    wall: float
    tags: list[Tag] = field(default_factory=list)
    size: int = 0


class KeyFrameRing:
    """The newest group, and as many before it as `seconds` ask for."""

    __slots__ = ("_groups", "seconds")

    def __init__(self) -> None:
        #: How far back the ring reaches, in seconds; 0 keeps the newest group only.
        self.seconds = 0.0
        self._groups: deque[Group] = deque()

    @property
    def size(self) -> int:
        """Bytes that all groups take in memory."""
        return sum(group.size for group in self._groups)

    def restart(self, headers: list[Tag], wall: float) -> None:
        """A key frame is about to be added."""
        groups = self._groups
        groups.append(Group(headers, wall))
        # The second group stays only as long as the first alone would not reach back far enough.
        while len(groups) > 1 and (self.seconds <= 0 or groups[1].wall <= wall - self.seconds):
            groups.popleft()

    def extend(self, tags: list[Tag], wall: float) -> None:
        """Add what followed; without a key frame before it nothing is kept."""
        groups = self._groups
        if not groups:
            return
        newest = groups[-1]
        newest.tags.extend(tags)
        newest.size += memory_of(tags)
        if newest.size > RING_MAX_BYTES or wall - newest.wall > RING_MAX_SECONDS:
            self.clear()
            return
        while len(groups) > 1 and self.size > RING_MAX_BYTES:
            groups.popleft()

    def since(self, wall: float) -> list[Group]:
        """The groups from the last key frame at or before `wall` (Unix time) on; at least the newest."""
        groups = [group for group in self._groups if group.tags]
        first = max((index for index, group in enumerate(groups) if group.wall <= wall), default=0)
        return groups[first:]

    def clear(self) -> None:
        """Forget everything until the next key frame."""
        self._groups.clear()
