"""The key-frame ring: what a stream sent since its last key frame, for a recording that begins now."""

from livereel.domain.media import Tag

#: A group of pictures that is longer or larger than this is not kept: the recording then begins with the next key
#: frame. 20 s and 32 MiB hold 10 s groups, the longest encoders make by default, at 25 Mbit/s.
RING_MAX_SECONDS = 20.0
RING_MAX_BYTES = 32 * 1024 * 1024


class KeyFrameRing:
    """Tags since the last key frame, with the headers that were valid there."""

    __slots__ = ("_filling", "headers", "size", "tags", "wall")

    def __init__(self) -> None:
        #: Headers in force at the key frame, with its timestamp.
        self.headers: list[Tag] = []
        #: The key frame and all after it; empty when there is none.
        self.tags: list[Tag] = []
        #: Unix time at which the key frame arrived.
        self.wall = 0.0
        #: Bytes of all bodies.
        self.size = 0
        self._filling = False

    def restart(self, headers: list[Tag], wall: float) -> None:
        """A key frame is about to be added."""
        self.headers = headers
        self.tags = []
        self.size = 0
        self.wall = wall
        self._filling = True

    def extend(self, tags: list[Tag], wall: float) -> None:
        """Add what followed; without a key frame before it nothing is kept."""
        if not self._filling:
            return
        self.tags.extend(tags)
        self.size += sum([len(tag[2]) for tag in tags])
        if self.size > RING_MAX_BYTES or wall - self.wall > RING_MAX_SECONDS:
            self.clear()

    def clear(self) -> None:
        """Forget everything until the next key frame."""
        self.restart([], 0.0)
        self._filling = False
