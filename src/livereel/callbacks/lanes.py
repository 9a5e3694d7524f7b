"""Lanes: how many messages go to one target host at a time, so that a bad host is its own problem. Pure.

Each host has a lane with a few places, and messages that wait in hand for one. A lane narrows while its host is slow;
while the host does not answer at all, the lane has one place and rests between tries. An HTTP answer of any status
counts as an answer: a receiver that refuses one message may take the next.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from livereel.domain.messages import OutboxMessage

FIRST_REST = 1.0  # seconds after the first failure to reach a host
LONGEST_REST = 30.0  # seconds: how late a host that came back may be noticed
SLOW = 1.0  # seconds of an answer above which a host gets SLOW_WIDTH places: slow hosts must not take all there are
SLOW_WIDTH = 2
FORGET_AFTER = 600.0  # seconds after its last rest a silent host that nothing is sent to is forgotten
WAITING_MAX = 256  # messages in hand for one host that have no place yet
WAITING_LOW = 64  # of them are left when more are asked for: a busy server takes a while to find them
SOURCE_AGE = 5.0  # seconds that messages of a source are taken to lead to a host; then settings may have changed

#: What messages have in common that are sure to go to the same host, as the dispatcher has it.
Source = tuple[str, str]


@dataclass(slots=True)
class Lane:
    """One target host. `waiting` messages are in hand but have no place yet."""

    width: int
    active: int = 0
    failures: int = 0
    slow: bool = False
    rests_until: float = 0.0
    waiting: deque[OutboxMessage] = field(default_factory=deque)
    #: Messages of this lane were left in the catalogue since the last look at it.
    held_back: bool = False
    #: Of messages that were held back, and when.
    sources: dict[Source, float] = field(default_factory=dict)

    def rests(self, now: float) -> bool:
        """Whether the host is left alone; if it were for longer than any rest lasts, the clock was set back."""
        return now < self.rests_until <= now + LONGEST_REST

    def has_place(self, now: float) -> bool:
        """Whether one more message may be sent at `now`."""
        places = 1 if self.failures else min(self.width, SLOW_WIDTH) if self.slow else self.width
        return not self.rests(now) and self.active < places

    def takes(self, now: float, *, crowded: bool) -> bool:
        """Whether one more message is taken in hand; few of them if there are many of other hosts (`crowded`)."""
        if self.rests(now):
            return False
        if self.failures:
            return not (self.waiting or self.active)
        return len(self.waiting) < (self.width if crowded or self.slow else WAITING_MAX)

    def runs_dry(self, now: float, *, crowded: bool) -> bool:
        """Whether what was held back is wanted now."""
        return self.held_back and len(self.waiting) <= WAITING_LOW and self.takes(now, crowded=crowded)

    def hold_back(self, source: Source | None, now: float) -> None:
        """A message stays in the catalogue; `source` if there may be more like it."""
        self.held_back = True
        if source is not None:
            self.sources[source] = now

    def answered(self, duration: float) -> None:
        """The host gave an HTTP answer after `duration` seconds."""
        self.failures, self.rests_until, self.slow = 0, 0.0, duration >= SLOW

    def silent(self, now: float) -> None:
        """The host could not be reached or did not answer in time."""
        if self.rests(now):
            return  # an attempt that was under way when the rest began says nothing new
        rest = min(FIRST_REST * 2 ** min(self.failures, 10), LONGEST_REST)
        self.failures += 1
        self.rests_until = now + rest

    def forgettable(self, now: float) -> bool:
        """Nothing is under way and nothing is known of the host that still matters at `now`."""
        return not (self.active or self.waiting) and (not self.failures or now > self.rests_until + FORGET_AFTER)


class Lanes:
    """The lanes of all hosts that have messages under way or do not answer."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._lanes: dict[str, Lane] = {}

    def lane(self, target: str) -> Lane:
        """The lane of a target (see `target_of`)."""
        if target not in self._lanes:
            self._lanes[target] = Lane(self._width)
        return self._lanes[target]

    def next_messages(self, now: float, places: int) -> Iterator[tuple[Lane, OutboxMessage]]:
        """Take up to `places` waiting messages whose lanes have a place, one per lane in turn."""
        moved = True
        while places > 0 and moved:
            moved = False
            for lane in list(self._lanes.values()):
                if places > 0 and lane.waiting and lane.has_place(now):
                    lane.active += 1
                    places -= 1
                    moved = True
                    yield lane, lane.waiting.popleft()

    def begin_look(self) -> None:
        """From now on is noted anew whose messages are held back."""
        for lane in self._lanes.values():
            lane.held_back = False

    def closed_sources(self, now: float, *, crowded: bool) -> list[Source]:
        """Whose messages are not worth looking at, because their lanes take none; these hold them back."""
        closed: list[Source] = []
        for lane in self._lanes.values():
            if lane.sources:  # the clock may have been set back
                lane.sources = {each: at for each, at in lane.sources.items() if 0 <= now - at < SOURCE_AGE}
            if not lane.takes(now, crowded=crowded):
                lane.held_back = True
                closed += lane.sources
        return closed

    def next_rest_end(self, now: float) -> float | None:
        """When the first of the hosts that rest and hold messages back may be tried again."""
        ends = [lane.rests_until for lane in self._lanes.values() if lane.held_back and lane.rests(now)]
        return min(ends, default=None)

    def forget(self, now: float) -> None:
        """Drop lanes that do not matter any more, so that memory does not grow with every host ever called."""
        self._lanes = {target: lane for target, lane in self._lanes.items() if not lane.forgettable(now)}

    def __len__(self) -> int:
        return len(self._lanes)


def target_of(url: str) -> str:
    """The host and port of a URL, lower case: what a lane belongs to. Raises ValueError for a URL that has none."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL must begin with http:// or https:// and name a host")
    port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    return f"{parts.hostname}:{port}"
