"""One publish going into one task's spool: tags become bytes of segments, with the marks and headers they need."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag
from livereel.flv.codecs import is_video_keyframe
from livereel.flv.marks import BEGIN, SEGMENT, TAKEOVER, TIME, encode_mark
from livereel.flv.tags import FLV_HEADER, encode_tags
from livereel.spool.delivery import Delivery, Pool
from livereel.spool.format import SEGMENT_MAX_BYTES, TIME_MARK_SECONDS, boot_id
from livereel.streams.headers import Headers, notable


class _Progress(Enum):
    """How far the first key frame has come."""

    AWAITED = auto()
    TAKEN = auto()
    HANDED_OVER = auto()


class SpoolWriter(Delivery):
    """A `streams.sink.TagSink`. Tags are encoded here, on the loop; see `Delivery` for what becomes of them.

    When the spool has failed tags are dropped: the stream goes on.
    """

    def __init__(self, pool: Pool, task_dir: Path, publish_id: str) -> None:
        super().__init__(pool, task_dir)
        self._publish_id = publish_id
        self._segment = 0
        self._segment_bytes = 0
        self._marked_at = 0.0
        self._headers = Headers()
        self._pieces: list[bytes] = []  # encoded, for the segment `_segment`
        #: Gives the seconds from the break of the publish before until a Unix time, by a clock that nobody sets;
        #: None if the task had no publish before.
        self.away_until: Callable[[float], float] | None = None
        self._first_media = _Progress.AWAITED

    def begin(self, headers: Sequence[Tag], wall: float, publish: str = "") -> None:
        """Open a new segment: a publish begins, or `publish` takes over from the one before (see `streams.sink`)."""
        if self._deaf():
            return
        if publish:
            self._publish_id = publish
        self._headers = Headers()
        for tag in headers:
            self._headers.take(tag)
        self._open_segment(TAKEOVER if publish else BEGIN, headers, headers[0].timestamp if headers else 0, wall)

    def append(self, tags: Sequence[Tag], wall: float) -> None:
        """Take tags as received; they are written at the next `flush`."""
        if self._deaf() or not tags:
            return
        start = 0
        candidates = notable(tags) if self._headers.video else range(len(tags))
        for index in candidates:
            tag = tags[index]
            if self._headers.take(tag) or not self._may_open_segment(tag):
                continue
            if self._first_media is _Progress.AWAITED:
                self._first_media = _Progress.TAKEN
            if tag.kind == TAG_VIDEO or self._is_due(wall):
                self._put(tags[start:index])
                start = index
                self._at_cut(tag.timestamp, wall)
        self._put(tags[start:])

    def _may_open_segment(self, tag: Tag) -> bool:
        """A key frame, or audio of a stream that has no video."""
        if tag.kind == TAG_VIDEO:
            return is_video_keyframe(tag.payload)
        return tag.kind == TAG_AUDIO and self._headers.video is None

    def _is_due(self, wall: float) -> bool:
        return self._segment_bytes > SEGMENT_MAX_BYTES or wall - self._marked_at >= TIME_MARK_SECONDS

    def _at_cut(self, timestamp: int, wall: float) -> None:
        """Before a tag with which a segment may begin."""
        if self._segment_bytes > SEGMENT_MAX_BYTES:
            self._open_segment(SEGMENT, self._headers.at(timestamp), timestamp, wall)
        elif self._is_due(wall):
            self._put([self._mark(TIME, timestamp, wall)])

    def _open_segment(self, reason: str, headers: Sequence[Tag], timestamp: int, wall: float) -> None:
        self._seal()
        self._segment += 1
        self._segment_bytes = 0
        self._add(FLV_HEADER)
        self._put([self._mark(reason, timestamp, wall), *headers])

    def _mark(self, reason: str, timestamp: int, wall: float) -> Tag:
        self._marked_at = wall
        boot = boot_id() if reason != TIME else ""
        gap = self.away_until(wall) if reason == BEGIN and self.away_until is not None else None
        return encode_mark(wall, self._publish_id, reason, timestamp, boot=boot, gap=gap)

    def _put(self, tags: Sequence[Tag]) -> None:
        if tags:
            self._add(encode_tags(tags))

    def _add(self, data: bytes) -> None:
        if not self._jobs and not self._pieces:
            self._pool.waits(self)
        self._pieces.append(data)
        self._taken_bytes += len(data)
        self._pool.count(len(data))
        self._segment_bytes += len(data)

    def _seal(self) -> None:
        """Deliver what is encoded for the current segment."""
        if not self._pieces:
            return
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        first = self._first_media is _Progress.TAKEN
        if first:
            self._first_media = _Progress.HANDED_OVER
        self._deliver(self._segment, data, first_media=first)
