"""AMF, FLV, codec headers, marks and the timeline."""

import json
import math
import struct
from itertools import pairwise

from livereel.amf import amf0, amf3
from livereel.amf.values import LIMITS, AmfDate, AmfError, Value
from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.domain.timeline import Timeline
from livereel.flv.codecs import is_sequence_header, is_video_keyframe, parse_audio, parse_video
from livereel.flv.marks import encode_mark, parse_mark
from livereel.flv.script import encode_script, parse_script
from livereel.flv.tags import FLV_HEADER, TAG_OVERHEAD, FlvError, TagReader, encode_tags
from livereel.flv.tracks import audio_track, video_track
from tests.fuzz.pieces import cuts


def amf_0(data: bytes) -> None:
    """AMF0 within limits; what was read can be written and is then read as the same."""
    try:
        values = amf0.decode(data)
    except AmfError:
        values = []
    try:
        first, position = amf0.decode_first(data)
    except AmfError:
        assert not values
    else:
        assert 0 < position <= len(data)
        if values:
            assert _same(first, values[0])
    _check_limits(values)
    if len(data) <= 4096:  # references repeat long strings, which makes large inputs larger still
        _check_round_trip(values)


def _check_round_trip(values: list[Value]) -> None:
    try:
        wire = amf0.encode(*values)
    except AmfError:
        return  # byte arrays and very long names, which only AMF3 has
    if len(wire) <= LIMITS.size:
        again = amf0.decode(wire)
        assert _same(again, values)
        assert amf0.encode(*again) == wire


def amf_3(data: bytes) -> None:
    """AMF3 within limits; the same value inside AMF0 is read alike."""
    try:
        values = amf3.decode(data)
    except AmfError:
        return
    _check_limits(values)
    if len(values) == 1:
        assert _same(amf0.decode(b"\x11" + data), values)


def _check_limits(values: list[Value]) -> None:
    count, waiting = 0, [(value, 0) for value in values]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        assert depth <= LIMITS.depth
        if isinstance(value, dict):
            waiting += [(each, depth + 1) for each in value.values()]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
    assert count <= LIMITS.members


def _same(one: Value, other: Value) -> bool:
    """Equal, where a NaN equals itself."""
    if isinstance(one, AmfDate) and isinstance(other, AmfDate):
        return _same(one.milliseconds, other.milliseconds)
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def flv_file(data: bytes) -> None:
    """FLV files: the same tags for any cut, positions that one can go on from, and the same bytes when written."""
    seen = []
    for pieces in cuts(data):
        reader = TagReader()
        tags: list[Tag] = []
        error = ""
        try:
            for piece in pieces:
                tags += reader.feed(piece)
            reader.feed(b"")
        except FlvError as caught:
            error = str(caught)
        seen.append((tags, reader.position, error))
    assert all(each == seen[0] for each in seen)
    tags, position, _ = seen[0]
    written = encode_tags(tags)
    assert sum(len(tag.payload) + TAG_OVERHEAD for tag in tags) == len(written)
    if tags:
        assert position <= len(data)
        assert TagReader().feed(FLV_HEADER + written) == tags
        last = len(tags[-1].payload) + TAG_OVERHEAD
        assert TagReader(position - last).feed(data[position - last : position]) == tags[-1:]


def codecs(data: bytes) -> None:
    """Tag bodies: only FlvError, and the quick questions agree with the careful answers."""
    try:
        video = parse_video(data)
    except FlvError:
        _raises_too(video_track, data)
    else:
        assert video.data_offset >= 0
        assert video.data_end <= len(data)
        assert -(1 << 23) <= video.composition_time < 1 << 23
        assert not (video.is_keyframe and (video.is_sequence_header or video.is_end_of_sequence or video.is_command))
        if len(data) >= 2:
            assert is_video_keyframe(data) == video.is_keyframe, video
            assert is_sequence_header(TAG_VIDEO, data) == video.is_sequence_header, video
        track = video_track(data, {"width": float("nan"), "height": 1e300, "framerate": math.inf})
        assert 0 <= track.width < 0x10000
        assert 0 <= track.height < 0x10000
    try:
        audio = parse_audio(data)
    except FlvError:
        _raises_too(audio_track, data)
    else:
        assert audio.data_end <= len(data)
        if len(data) >= 2:
            assert is_sequence_header(TAG_AUDIO, data) == audio.is_sequence_header, audio
        sound = audio_track(data)
        assert 0 <= sound.sample_rate < 1 << 24
        assert 0 <= sound.channels <= 255
    is_video_keyframe(data), is_sequence_header(TAG_AUDIO, data), is_sequence_header(TAG_VIDEO, data)


def _raises_too(track: object, data: bytes) -> None:
    try:
        track(data)  # type: ignore[operator]
    except FlvError:
        return
    raise AssertionError("a track of a body that has no header")


def script(data: bytes) -> None:
    """Script data and marks: members survive being written, and only a mark is taken for one."""
    try:
        name, members = parse_script(data)
    except FlvError:
        assert parse_mark(Tag(TAG_SCRIPT, 0, data)) is None
        return
    try:
        written = encode_script(name, members)
    except AmfError:
        written = b""
    if written and len(written) <= LIMITS.size and len(members) < LIMITS.members // 2:
        again = parse_script(written)
        assert again[0] == name
        assert _same(again[1], members)
    mark = parse_mark(Tag(TAG_SCRIPT, 0, data))
    if mark is not None:
        again_mark = parse_mark(encode_mark(*mark))
        assert again_mark is not None
        assert _same(list(again_mark), list(mark))


def timeline(data: bytes) -> None:
    """Any stamps in any order: each track only goes forward, and the state can be put away and taken up anywhere."""
    subject = Timeline()
    placed: dict[int, list[int]] = {TAG_AUDIO: [], TAG_VIDEO: []}
    for (number,) in struct.iter_unpack(">Q", data[: len(data) // 8 * 8]):
        kind = TAG_VIDEO if number & 1 << 40 else TAG_AUDIO
        if number >> 56 == 1:
            subject.begin()
        elif number >> 56 == 2:
            subject.confirm(number >> 41 & 0x7FFF)
        twin = Timeline.from_json(json.loads(json.dumps(subject.to_json())))
        result = subject.place(kind, number & 0xFFFFFFFF)
        assert twin.place(kind, number & 0xFFFFFFFF) == result
        assert twin.to_json() == subject.to_json()
        placed[kind].append(result[0])
    assert all(before < after for track in placed.values() for before, after in pairwise(track))
