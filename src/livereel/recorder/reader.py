"""From the tags of a spool to packets in order of time, with a state that can be taken down and set up again.

Everything here depends on nothing but the spool, so that a file made again from a checkpoint has the same bytes.
"""

import base64
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from livereel.domain.media import (
    TAG_AUDIO,
    TAG_SCRIPT,
    TAG_VIDEO,
    AudioCodec,
    AudioTrack,
    Tag,
    VideoCodec,
    VideoTrack,
)
from livereel.domain.recordings import SpoolPosition
from livereel.domain.timeline import RepairKind, Timeline
from livereel.flv import tracks
from livereel.flv.codecs import parse_audio, parse_video
from livereel.flv.marks import BEGIN, TAKEOVER, Mark, is_mark, parse_mark
from livereel.flv.script import parse_script
from livereel.flv.tags import FlvError
from livereel.recorder.packets import Interleaver, Packet

#: Wall clock and media clock may differ by this (s) before names and dates follow the wall clock again. Arrival times
#: jitter by the pump's interval and the network; a difference beyond a second or two would show in file names.
MAX_WALL_DRIFT = 2.0
#: Codecs whose frames cannot be decoded without a sequence header.
_NEED_HEADER = frozenset((VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1, AudioCodec.AAC))
#: Tags that are no frames wait for the next frame; more than this without one are of no use to anybody.
_MAX_EXTRAS = 64

#: First bytes of an AVC key frame and of any other AVC frame.
_AVC_FRAME = frozenset((b"\x17\x01", b"\x27\x01"))

Track = VideoTrack | AudioTrack


@dataclass(slots=True)
class ReaderCounts:
    """What a reader has seen of a task."""

    tags: int = 0
    repaired: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    wall_drift: float = 0.0

    def count(self, counters: dict[str, int], name: str) -> None:
        """One more of `name`."""
        counters[name] = counters.get(name, 0) + 1


class TaskReader:
    """Feed it the tags of a spool in order; it gives packets in order of time."""

    def __init__(self) -> None:
        self.counts = ReaderCounts()
        self.publish = 0  # counts begin marks
        self.publish_gap = 0.0  # seconds between the last two publishes, by the wall clock if nothing better is known
        self.publish_wall = 0.0  # Unix time at which the one before had ended
        self.taken_over = False  # the publish waited behind the one before, so there was no interruption
        self.has_video = False  # the publish announced video
        self._timeline = Timeline()
        self._interleaver = Interleaver()
        self._video: VideoTrack | None = None
        self._audio: AudioTrack | None = None
        self._metadata: dict[str, Any] = {}
        self._extras: list[tuple[SpoolPosition, Tag]] = []
        self._read: SpoolPosition | None = None  # last tag taken
        self._marked_wall: float | None = None  # arrival of the tag that comes next
        self._wall_offsets: dict[int, float] = {}  # wall time (s) of media time 0, for this publish and the one before
        self._restoring: _Restoring | None = None

    def feed(self, position: SpoolPosition, tag: Tag) -> Iterator[Packet]:
        """Take the next tag; gives the packets whose turn has come.

        `checkpoint` may be taken whenever a packet is given.
        """
        if self._restoring is not None:
            if self._restoring.take(position, tag):
                return
            yield from self._end_restoring()
        mark = parse_mark(tag) if tag.kind == TAG_SCRIPT and is_mark(tag) else None
        if mark is not None and mark.reason in (BEGIN, TAKEOVER):
            self._interleaver.flush()
            yield from self._drain()  # with the state of the publish that is over
            self._begin(mark)
        self._read = position
        self.counts.tags += 1
        kind = tag.kind
        try:
            if kind == TAG_VIDEO:
                self._take_video(position, tag)
            elif kind == TAG_AUDIO:
                self._take_audio(position, tag)
            elif mark is not None:
                self._marked_wall = mark.wall
            else:
                self._take_script(position, tag)
        except FlvError:
            self.counts.count(self.counts.dropped, "unreadable")
        pop = self._interleaver.pop
        while (packet := pop()) is not None:
            yield packet

    def finish(self) -> Iterator[Packet]:
        """No more tags: gives all packets that wait."""
        if self._restoring is not None:
            yield from self._end_restoring()
        self._interleaver.flush()
        yield from self._drain()

    def wall(self, dts: int, publish: int) -> float:
        """Unix time at which media time `dts` (ms) arrived, by the marks of `publish`, the newest or the one before."""
        return self._wall_offsets.get(publish, 0.0) + dts / 1000

    @property
    def end(self) -> int:
        """Media time (ms) behind everything read so far."""
        return self._timeline.end

    def track(self, kind: int) -> Track | None:
        """The track that the next packet of `kind` will have, as far as is known."""
        return self._interleaver.next_track(kind) or (self._video if kind == TAG_VIDEO else self._audio)

    def checkpoint(self, packet: Packet | None) -> tuple[SpoolPosition | None, dict[str, Any]]:
        """(where to read from, state) with `packet`, the one popped last, back in its place.

        The position is that of the first tag needed; None when that is the next tag in the spool.
        """
        waiting = ([packet] if packet is not None else []) + self._interleaver.waiting()
        known: list[Track] = []
        rows = [
            [
                *row.position,
                row.kind,
                row.dts,
                row.composition,
                int(row.is_key),
                _index(known, row.track),
                row.publish,
                row.data_start,
                row.data_end,
                int(row.repaired),
                [list(position) for position, _ in row.extras],
                row.lost,
            ]
            for row in waiting
        ]
        extras = [position for position, _ in self._extras]
        needed = [row.position for row in waiting] + extras
        needed += [position for row in waiting for position, _ in row.extras]
        state = {
            "read": self._read,
            "timeline": self._timeline.to_json(),
            "interleaver": self._interleaver.to_json(),
            "waiting": rows,
            "extras": [list(position) for position in extras],
            "video": None if self._video is None else _index(known, self._video),
            "audio": None if self._audio is None else _index(known, self._audio),
            "tracks": [_track_to_json(track) for track in known],
            "has_video": self.has_video,
            "metadata": self._metadata,
            "publish": self.publish,
            "publish_gap": self.publish_gap,
            "publish_wall": self.publish_wall,
            "taken_over": self.taken_over,
            "marked_wall": self._marked_wall,
            "counts": asdict(self.counts),
            "wall_offsets": list(self._wall_offsets.items()),
        }
        return min(needed, default=None), state

    @classmethod
    def from_checkpoint(cls, state: dict[str, Any]) -> "TaskReader":
        """Set up what `checkpoint` took down; feed it from the position that came with the state."""
        reader = cls()
        reader._timeline = Timeline.from_json(state["timeline"])
        reader.publish = state["publish"]
        reader.publish_gap = state["publish_gap"]
        reader.publish_wall = state["publish_wall"]
        reader.taken_over = state["taken_over"]
        reader.has_video = state["has_video"]
        reader._metadata = state["metadata"]
        reader.counts = ReaderCounts(**state["counts"])
        reader._read = SpoolPosition(*state["read"]) if state["read"] is not None else None
        reader._marked_wall = state["marked_wall"]
        reader._wall_offsets = dict(state["wall_offsets"])
        known = [_track_from_json(track) for track in state["tracks"]]
        video = known[state["video"]] if state["video"] is not None else None
        audio = known[state["audio"]] if state["audio"] is not None else None
        reader._video = video if isinstance(video, VideoTrack) else None
        reader._audio = audio if isinstance(audio, AudioTrack) else None
        reader._restoring = _Restoring(state, known)
        return reader

    def _end_restoring(self) -> Iterator[Packet]:
        assert self._restoring is not None
        packets, self._extras = self._restoring.result()
        self._interleaver = Interleaver.from_json(self._restoring.state["interleaver"], packets)
        self._restoring = None
        yield from self._drain()

    def _drain(self) -> Iterator[Packet]:
        while (packet := self._interleaver.pop()) is not None:
            yield packet

    def _take_video(self, position: SpoolPosition, tag: Tag) -> None:
        body = tag.payload
        known = self._video
        if known is not None and known.codec is VideoCodec.H264 and len(body) > 5 and body[:2] in _AVC_FRAME:
            # Nearly every video tag there is (FLV 10.1, E.4.3), told apart without a full look at its header.
            composition = int.from_bytes(body[2:5], signed=True)
            self._push(position, tag, body[0] == 0x17, known, (composition, 5, len(body)))
            return
        header = parse_video(body)
        if header.is_sequence_header:
            self.has_video = True
            if self._video is None or self._video.header != body:
                self._video = tracks.video_track(body, self._metadata)
        elif header.is_command:
            self._add_extra(position, tag)
        elif header.is_end_of_sequence:
            pass
        else:
            self.has_video = True
            track = self._video
            if track is None or track.codec is not header.codec:
                if header.codec in _NEED_HEADER:
                    self.counts.count(self.counts.dropped, "video before its sequence header")
                    return
                track = self._video = tracks.video_track(body, self._metadata)
            self._push(position, tag, header.is_keyframe, track, header[4:7])

    def _take_audio(self, position: SpoolPosition, tag: Tag) -> None:
        body = tag.payload
        known = self._audio
        if known is not None and known.codec is AudioCodec.AAC and len(body) > 2 and body[0] == 0xAF and body[1] == 1:
            self._push(position, tag, False, known, (0, 2, len(body)))
            return
        header = parse_audio(body)
        if header.is_sequence_header:
            if self._audio is None or self._audio.header != body:
                self._audio = tracks.audio_track(body)
        elif header.is_command:
            self._add_extra(position, tag)
        elif not header.is_end_of_sequence and header.data_offset < header.data_end:
            track = self._audio
            if track is None or track.codec is not header.codec:
                if header.codec in _NEED_HEADER:
                    self.counts.count(self.counts.dropped, "audio before its sequence header")
                    return
                track = self._audio = tracks.audio_track(body)
            self._push(position, tag, False, track, (0, header.data_offset, header.data_end))

    def _push(
        self, position: SpoolPosition, tag: Tag, is_key: bool, track: Track, layout: tuple[int, int, int]
    ) -> None:
        kind, timestamp, body = tag
        if self._marked_wall is not None:
            self._confirm_gap(self._marked_wall)
        dts, repair = self._timeline.place(kind, timestamp)
        lost = self._compare_clocks(dts) if self._marked_wall is not None else 0.0
        repaired = False
        if repair is not None and repair.kind is not RepairKind.PUBLISH:
            repaired = True
            self.counts.count(self.counts.repaired, repair.kind.value)
        extras: tuple[tuple[SpoolPosition, Tag], ...] = ()
        if self._extras:
            extras = tuple(self._extras)
            self._extras.clear()
        composition, start, end = layout
        self._interleaver.push(
            Packet(
                kind, dts, composition, is_key, track, self.publish, position, body, start, end, repaired, extras, lost
            )
        )

    def _take_script(self, position: SpoolPosition, tag: Tag) -> None:
        name, values = parse_script(tag.payload)
        if name == "onMetaData":
            wanted = ("width", "height", "framerate")
            self._metadata = {key: values[key] for key in wanted if isinstance(values.get(key), float)}
        elif not is_mark(tag):
            self._add_extra(position, tag)

    def _begin(self, mark: Mark) -> None:
        self._timeline.begin()
        end = self.wall(self._timeline.end, self.publish)
        gap = max(0.0, mark.wall - end) if mark.gap is None else mark.gap
        self.publish_gap = gap if self.publish else 0.0
        self.publish_wall = mark.wall - self.publish_gap
        self.taken_over = mark.reason == TAKEOVER
        self._wall_offsets.pop(self.publish - 1, None)
        self.publish += 1
        self.has_video = False
        self._video = None
        self._audio = None
        self._metadata = {}

    def _confirm_gap(self, wall: float) -> None:
        if self.publish in self._wall_offsets:
            self._timeline.confirm(max(0.0, wall - self.wall(self._timeline.end, self.publish)) * 1000)

    def _compare_clocks(self, dts: int) -> float:
        """Follow the wall clock again if the stamps have left it; gives the seconds that they have left out."""
        assert self._marked_wall is not None
        offset = self._marked_wall - dts / 1000
        self._marked_wall = None
        drift = offset - self._wall_offsets.setdefault(self.publish, offset)
        if abs(drift) > abs(self.counts.wall_drift):
            self.counts.wall_drift = round(drift, 3)
        if abs(drift) <= MAX_WALL_DRIFT:
            return 0.0
        self._wall_offsets[self.publish] = offset
        return max(0.0, drift)

    def _add_extra(self, position: SpoolPosition, tag: Tag) -> None:
        if len(self._extras) < _MAX_EXTRAS:
            self._extras.append((position, tag))


class _Restoring:
    """Collects the bodies of waiting packets, whose places and times the checkpoint knows."""

    def __init__(self, state: dict[str, Any], known: list[Track]) -> None:
        self.state = state
        self._known = known
        self._read = SpoolPosition(*state["read"]) if state["read"] is not None else SpoolPosition(0, 0)
        wanted = [tuple(row[:2]) for row in state["waiting"]] + [tuple(place) for place in state["extras"]]
        wanted += [tuple(place) for row in state["waiting"] for place in row[11]]
        self._wanted = frozenset(wanted)
        self._tags: dict[SpoolPosition, Tag] = {}

    def take(self, position: SpoolPosition, tag: Tag) -> bool:
        """Look at a tag; False when it is the first that was not read yet at the checkpoint."""
        if position > self._read:
            return False
        if position in self._wanted:
            self._tags[position] = tag
        return True

    def result(self) -> tuple[list[Packet], list[tuple[SpoolPosition, Tag]]]:
        """The packets that waited, and the tags that waited for a packet."""
        packets = []
        for row in self.state["waiting"]:
            segment, offset, kind, dts, composition, is_key, track, publish, start, end, repaired, extras, lost = row
            position = SpoolPosition(segment, offset)
            if (tag := self._tags.get(position)) is not None:
                packets.append(
                    Packet(
                        kind,
                        dts,
                        composition,
                        bool(is_key),
                        self._known[track],
                        publish,
                        position,
                        tag.payload,
                        start,
                        end,
                        bool(repaired),
                        self._collect(extras),
                        lost,
                    )
                )
        return packets, list(self._collect(self.state["extras"]))

    def _collect(self, places: list[list[int]]) -> tuple[tuple[SpoolPosition, Tag], ...]:
        positions = [SpoolPosition(*place) for place in places]
        return tuple((position, self._tags[position]) for position in positions if position in self._tags)


def _index(known: list[Track], track: Track) -> int:
    if track not in known:
        known.append(track)
    return known.index(track)


def _track_to_json(track: Track) -> dict[str, Any]:
    common = {"codec": track.codec.value, "header": base64.b64encode(track.header).decode()}
    if isinstance(track, VideoTrack):
        return common | {"width": track.width, "height": track.height, "frame_rate": track.frame_rate}
    return common | {"sample_rate": track.sample_rate, "channels": track.channels}


def _track_from_json(value: dict[str, Any]) -> Track:
    header = base64.b64decode(value["header"])
    if "width" in value:
        return VideoTrack(VideoCodec(value["codec"]), value["width"], value["height"], value["frame_rate"], header)
    return AudioTrack(AudioCodec(value["codec"]), value["sample_rate"], value["channels"], header)
