"""One live stream: what it consists of, what it sent since its last key frame, and who takes its tags."""

from collections import deque
from collections.abc import Iterable, Sequence

from livereel.amf.values import Value
from livereel.domain.errors import LivereelError
from livereel.domain.keys import StreamKey
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, AudioTrack, Tag, VideoTrack
from livereel.domain.messages import Publish
from livereel.domain.recordings import StreamInfo
from livereel.flv.codecs import is_video_keyframe
from livereel.flv.marks import is_mark
from livereel.flv.script import parse_script
from livereel.flv.tags import FlvError
from livereel.flv.tracks import audio_track, video_track
from livereel.streams.headers import Headers, notable
from livereel.streams.ring import RING_MAX_BYTES, Group, KeyFrameRing, memory_of
from livereel.streams.sink import TagSink
from livereel.streams.stats import StreamStats

#: Seconds without any video after which a stream with audio counts as audio-only. Encoders send both sequence headers
#: before the first frames, so video that is going to come is there at once.
AUDIO_ONLY_AFTER = 2.0
#: Batches of tags that are remembered for a push that takes over: some have no picture, at a low frame rate.
_TAIL_BATCHES = 8


class Stream:
    """A stream being pushed. `now` is Unix time everywhere.

    Tags go to every attached sink in the order they came. A sink gets its first tags from a key frame on: the last one,
    if it is still in the ring, else the next. The ring is kept only while nothing takes the tags.
    """

    def __init__(self, key: StreamKey, publish: Publish, project_id: str, now: float) -> None:
        self.key = key
        #: The push whose tags these are.
        self.publish = publish
        #: The push that the stream began with; another when pushes have taken over.
        self.first_publish = publish
        self.project_id = project_id
        self.stats = StreamStats()
        self.video: VideoTrack | None = None
        self.audio: AudioTrack | None = None
        #: Values of the newest onMetaData.
        self.metadata: dict[str, Value] = {}
        self._opened_at = now
        self._headers = Headers()
        self._ring = KeyFrameRing()
        self._has_video = False
        self._has_audio = False
        self._sinks: list[TagSink] = []
        self._waiting: list[TagSink] = []
        self._taps: list[TagSink] = []
        self._waiting_taps: list[TagSink] = []
        self._resuming: list[TagSink] = []  # those of `_waiting` that have begun before, with another push
        self._tail: deque[list[Tag]] | None = None
        # What arrived while nobody could tell whether there would be video, and when; audio-only streams begin with it.
        #: Monotonic time of the newest tags; None if nobody told.
        self.heard_steady: float | None = None
        self._early: list[tuple[list[Tag], float]] = []
        self._early_size = 0

    @property
    def congested(self) -> bool:
        """True while a sink wants no more tags."""
        return any(sink.congested for sink in self._sinks)

    def feed(self, tags: list[Tag], now: float, steady: float | None = None) -> None:
        """Take the next tags, in the order they came, at `now` (Unix time) and `steady` (monotonic)."""
        self.heard_steady = steady
        marks = notable(tags)
        if any(_is_unwanted(tags[index]) for index in marks):
            tags = [tag for tag in tags if not _is_unwanted(tag)]
            marks = notable(tags)
        if not tags:
            return
        self.stats.count(tags, now)
        if self._tail is not None:
            self._tail.append(tags)
        start = 0
        for index in marks:
            tag = tags[index]
            if self._headers.take(tag):
                self._learn(tag)
            elif tag.kind == TAG_VIDEO and is_video_keyframe(tag.payload):
                self.stats.key_frames += 1
                self._pass_on(tags[start:index], now)
                start = index
                self._at_key_frame(tag, now)
        if not self._has_video or not self._has_audio:
            self._look_for_tracks(tags)
        if self._waiting and self._is_audio_only(now):
            self._begin_at_audio(tags[start:], now)
        else:
            self._pass_on(tags[start:] if start else tags, now)
            self._keep_early(tags, now)

    def keep(self, seconds: float) -> None:
        """Keep the last `seconds` while nothing takes the tags, for recordings that begin in the past."""
        self._ring.seconds = seconds

    def attach(self, sink: TagSink, now: float, pre_roll: float = 0.0) -> None:
        """Give `sink` the tags from the last key frame on, or from the next one when there is none in the ring.

        With `pre_roll` (seconds) from the last key frame before that time ago, as far as `keep` reached back.
        """
        groups = self._ring.since(now - pre_roll)
        if groups:
            sink.begin(groups[0].headers, groups[0].wall)
            for group in groups:
                sink.append(group.tags, group.wall)
            self._sinks.append(sink)
            self._ring.clear()
        else:
            self._waiting.append(sink)

    def detach(self, sink: TagSink) -> None:
        """Give `sink` no more tags; nothing happens when it is not attached."""
        self._sinks = [other for other in self._sinks if other is not sink]
        self._waiting = [other for other in self._waiting if other is not sink]
        self._resuming = [other for other in self._resuming if other is not sink]

    def tap(self, sink: TagSink, now: float) -> None:
        """Let `sink` look on, from the last key frame or the next one, until `untap`; it may be called from within.

        Unlike `attach` this changes nothing for others: the ring is kept, and a congested tap holds nobody up. Taps
        see video streams only.
        """
        groups = self._ring.since(now)
        if not groups:
            self._waiting_taps.append(sink)
            return
        self._taps.append(sink)
        sink.begin(groups[-1].headers, groups[-1].wall)
        sink.append(groups[-1].tags, groups[-1].wall)

    def untap(self, sink: TagSink) -> None:
        """Show `sink` no more tags; nothing happens when it does not look on."""
        self._taps = [other for other in self._taps if other is not sink]
        self._waiting_taps = [other for other in self._waiting_taps if other is not sink]

    @property
    def heard_at(self) -> float:
        """Unix time of the newest media, or of the beginning."""
        return self.stats.last_media_at or self._opened_at

    def remember_tail(self) -> None:
        """Another push waits behind this one: remember the newest tags from now on."""
        if self._tail is None:
            self._tail = deque(maxlen=_TAIL_BATCHES)

    def tail(self) -> Iterable[Sequence[Tag]]:
        """The newest batches of tags, as far as they are remembered."""
        return self._tail or ()

    def groups(self) -> list[Group]:
        """What the ring holds."""
        return self._ring.since(0.0)

    def go_on(self, successor: "Stream", since: float, rest: list[Group] | None) -> None:
        """Go on with another push: from the last key frame that it sent before `since`, or the next one.

        `successor` took the tags of that push until now and is of no use afterwards. With `rest` its tags go on where
        ours ended, so that nobody needs to be told.
        """
        groups = successor._ring.since(since) if rest is None else rest
        self.publish = successor.publish
        self.stats, self.metadata = successor.stats, successor.metadata
        self.heard_steady = successor.heard_steady
        self.video, self.audio = successor.video, successor.audio
        self._headers, self._opened_at = successor._headers, successor._opened_at
        self._has_video, self._has_audio = successor._has_video, successor._has_audio
        if self._tail is not None:
            self._tail.clear()
        self._early.clear()
        successor._ring.seconds = self._ring.seconds
        self._ring = successor._ring
        if rest is None:
            self._change_over(groups)
        for group in groups:
            if _begins_with_key_frame(group):
                self._begin_waiting(group.headers, group.wall)
                self._begin_taps(group.headers, group.wall)
            for sink in (*self._sinks, *self._taps):
                sink.append(group.tags, group.wall)
        if self._sinks:
            self._ring.clear()

    def _change_over(self, groups: list[Group]) -> None:
        """Tell everybody that tags of another push follow, beginning with `groups`."""
        if groups:
            for sink in (*self._sinks, *self._taps):
                sink.begin(groups[0].headers, groups[0].wall, self.publish.id)
        else:
            self._resuming = [*self._sinks, *self._resuming]
            self._waiting = [*self._sinks, *self._waiting]
            self._waiting_taps += self._taps
            self._sinks, self._taps = [], []

    def info(self, now: float) -> StreamInfo:
        """What the API tells about the stream."""
        rates = self.stats.rates(now)
        video, audio = self.video, self.audio
        return StreamInfo(
            key=self.key,
            client_ip=self.publish.client_ip,
            started_at=self.publish.started_at,
            video_codec=str(video.codec) if video else "",
            audio_codec=str(audio.codec) if audio else "",
            width=video.width if video else 0,
            height=video.height if video else 0,
            frame_rate=rates.frame_rate,
            audio_frame_rate=rates.audio_frame_rate,
            video_bitrate=round(rates.video_bitrate),
            audio_bitrate=round(rates.audio_bitrate),
        )

    def _pass_on(self, tags: list[Tag], now: float) -> None:
        if not tags:
            return
        if self._sinks:
            for sink in self._sinks:
                sink.append(tags, now)
        else:
            self._ring.extend(tags, now)
        for tap in self._taps:
            tap.append(tags, now)

    def _at_key_frame(self, tag: Tag, now: float) -> None:
        headers = self._headers.at(tag.timestamp)
        if self._waiting:
            self._begin_waiting(headers, now)
            self._ring.clear()
        if not self._sinks:
            self._ring.restart(headers, now)
        if self._waiting_taps:
            self._begin_taps(headers, now)

    def _begin_waiting(self, headers: list[Tag], wall: float) -> None:
        """The sinks that wait get their first tags next."""
        for sink in self._waiting:
            again = any(sink is other for other in self._resuming)
            sink.begin(headers, wall, self.publish.id if again else "")
        self._sinks += self._waiting
        self._waiting, self._resuming = [], []

    def _begin_taps(self, headers: list[Tag], wall: float) -> None:
        begun, self._waiting_taps = self._waiting_taps, []
        self._taps += begun
        for tap in begun:
            tap.begin(headers, wall)

    def _is_audio_only(self, now: float) -> bool:
        return self._has_audio and not self._has_video and now - self._opened_at >= AUDIO_ONLY_AFTER

    def _keep_early(self, tags: list[Tag], now: float) -> None:
        if self._has_video or now - self._opened_at >= AUDIO_ONLY_AFTER or self._early_size > RING_MAX_BYTES:
            self._early.clear()
        else:
            self._early.append((tags, now))
            self._early_size += memory_of(tags)

    def _begin_at_audio(self, tags: list[Tag], now: float) -> None:
        """Let waiting sinks begin with the first audio that came early, or else the first among `tags`."""
        early, self._early = self._early, []
        waiting = list(self._waiting)
        for some, wall in early:
            first = 0
            if self._waiting:
                first = next((index for index, tag in enumerate(some) if self._is_sound(tag)), len(some))
                if first == len(some):
                    continue
                self._begin_waiting(self._headers.at(some[first].timestamp), wall)
            for sink in waiting:
                sink.append(some[first:], wall)
        for index, tag in enumerate(tags):
            if self._waiting and self._is_sound(tag):
                self._pass_on(tags[:index], now)
                self._begin_waiting(self._headers.at(tag.timestamp), now)
                self._pass_on(tags[index:], now)
                return
        self._pass_on(tags, now)

    def _is_sound(self, tag: Tag) -> bool:
        return tag.kind == TAG_AUDIO and tag is not self._headers.audio

    def _look_for_tracks(self, tags: list[Tag]) -> None:
        kinds = {tag.kind for tag in tags}
        self._has_video = self._has_video or TAG_VIDEO in kinds
        self._has_audio = self._has_audio or TAG_AUDIO in kinds
        if TAG_AUDIO in kinds and self.audio is None:
            # Codecs without a sequence header (MP3) say what they are in every tag.
            first = next(tag for tag in tags if tag.kind == TAG_AUDIO)
            self._learn(first)

    def _learn(self, header: Tag) -> None:
        """Tracks and metadata from a header. A header that cannot be read is recorded all the same."""
        try:
            if header.kind == TAG_SCRIPT:
                self.metadata = dict(parse_script(header.payload)[1])
            elif header.kind == TAG_VIDEO:
                self.video = video_track(header.payload, self.metadata)
            else:
                self.audio = audio_track(header.payload)
        except (FlvError, LivereelError):
            return


def _begins_with_key_frame(group: Group) -> bool:
    first = group.tags[0]
    return first.kind == TAG_VIDEO and is_video_keyframe(first.payload)


def _is_unwanted(tag: Tag) -> bool:
    """An empty message, which holds nothing to record, or a mark, which only our own spool writer may make."""
    return not tag.payload or is_mark(tag)
