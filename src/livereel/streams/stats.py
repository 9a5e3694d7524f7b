"""What a stream brings per second, over the last few seconds."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, Tag

#: Seconds over which rates are taken: long enough for a few groups of pictures, short enough to show a change.
RATE_WINDOW = 5.0


class _Batch(NamedTuple):
    at: float
    video_bytes: int
    audio_bytes: int
    frames: int
    audio_frames: int
    video_end: int | None  # timestamps (ms) of the last tags
    audio_end: int | None


class Rates(NamedTuple):
    """Bit rates are kbit/s, frame rates frames/s."""

    video_bitrate: float = 0.0
    audio_bitrate: float = 0.0
    frame_rate: float = 0.0
    audio_frame_rate: float = 0.0


class StreamStats:
    """Counts per batch of tags; rates are worked out when they are asked for."""

    __slots__ = ("_batches", "bytes", "key_frames", "last_media_at", "tags")

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        #: Bytes of all tag bodies.
        self.bytes = 0
        self.tags = 0
        self.key_frames = 0
        #: Unix time of the last audio or video, None before the first.
        self.last_media_at: float | None = None

    def count(self, tags: Sequence[Tag], now: float) -> None:
        """Count a batch that arrived at `now` (Unix time)."""
        video = audio = frames = audio_frames = 0
        video_end: int | None = None
        audio_end: int | None = None
        for kind, timestamp, body in tags:
            if kind == TAG_VIDEO:
                video += len(body)
                frames += 1
                video_end = timestamp
            elif kind == TAG_AUDIO:
                audio += len(body)
                audio_frames += 1
                audio_end = timestamp
        batch = _Batch(now, video, audio, frames, audio_frames, video_end, audio_end)
        self.bytes += video + audio
        self.tags += len(tags)
        if frames or audio_frames:
            self.last_media_at = now
        batches = self._batches
        batches.append(batch)
        # One batch older than the window stays: it is where the window begins.
        while len(batches) > 2 and batches[1].at < now - RATE_WINDOW:
            batches.popleft()

    def rates(self, now: float) -> Rates:
        """The rates at `now` (Unix time); zeros when nothing comes any more.

        They are taken over media time, since batches arrive unevenly; where timestamps jump, over the time of arrival.
        """
        batches = list(self._batches)
        if len(batches) < 2 or now - batches[-1].at > RATE_WINDOW:
            return Rates()
        video = _span([(batch.at, batch.video_end) for batch in batches])
        audio = _span([(batch.at, batch.audio_end) for batch in batches])
        # The first batch came in the time before it, so it marks the start only.
        later = batches[1:]
        return Rates(
            sum(batch.video_bytes for batch in later) * 8 / 1000 / video if video else 0.0,
            sum(batch.audio_bytes for batch in later) * 8 / 1000 / audio if audio else 0.0,
            sum(batch.frames for batch in later) / video if video else 0.0,
            sum(batch.audio_frames for batch in later) / audio if audio else 0.0,
        )


def _span(ends: list[tuple[float, int | None]]) -> float:
    """Seconds from the first batch to the last: of media if that is plausible, else of arrival."""
    arrival = ends[-1][0] - ends[0][0]
    stamps = [end for _, end in ends if end is not None]
    media = ((stamps[-1] - stamps[0]) % (1 << 32)) / 1000 if ends[0][1] is not None and len(stamps) > 1 else 0.0
    plausible = arrival - RATE_WINDOW / 2 < media < arrival + RATE_WINDOW / 2
    return media if media > 0 and plausible else arrival
