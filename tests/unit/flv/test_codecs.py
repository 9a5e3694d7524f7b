import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, AudioCodec, VideoCodec
from livereel.flv.codecs import is_sequence_header, is_video_keyframe, parse_audio, parse_video
from livereel.flv.tags import FlvError


@pytest.mark.parametrize(
    ("body", "codec", "key", "header", "time", "offset"),
    [
        ("17 00 000000 01", VideoCodec.H264, False, True, 0, 5),
        ("17 01 000043 aa", VideoCodec.H264, True, False, 67, 5),
        ("27 01 fffffe aa", VideoCodec.H264, False, False, -2, 5),
        ("1c 01 000001 aa", VideoCodec.H265, True, False, 1, 5),
        ("1c 00 000000 aa", VideoCodec.H265, False, True, 0, 5),
        ("12 84", VideoCodec.OTHER, True, False, 0, 1),  # Sorenson H.263
        ("22 84", VideoCodec.OTHER, False, False, 0, 1),
        ("90 61766331 01", VideoCodec.H264, False, True, 0, 5),
        ("91 61766331 000005 aa", VideoCodec.H264, True, False, 5, 8),
        ("91 68766331 ffffff aa", VideoCodec.H265, True, False, -1, 8),
        ("a1 68766331 000000 aa", VideoCodec.H265, False, False, 0, 8),
        ("93 68766331 aa", VideoCodec.H265, True, False, 0, 5),
        ("90 61763031 81", VideoCodec.AV1, False, True, 0, 5),
        ("95 61763031 81", VideoCodec.AV1, False, True, 0, 5),  # the header in MPEG-2 TS form
        ("91 61763031 aa", VideoCodec.AV1, True, False, 0, 5),
        ("91 76703039 aa", VideoCodec.VP9, True, False, 0, 5),
        ("91 76703038 aa", VideoCodec.OTHER, True, False, 0, 5),  # VP8
        ("91 76766331 000002 aa", VideoCodec.OTHER, True, False, 2, 8),  # VVC
        ("97 02 aabbcc 01 68766331 000007 ee", VideoCodec.H265, True, False, 7, 13),  # ModEx of 3 bytes
        ("97 00 aa 07 00 bb 03 68766331 ee", VideoCodec.H265, True, False, 0, 11),  # two of them
        ("97 ff 0001 aabb 00 61766331 ee", VideoCodec.H264, False, True, 0, 11),  # with a 16-bit size
    ],
)
def test_video(body, codec, key, header, time, offset):
    data = bytes.fromhex(body)
    parsed = parse_video(data)
    assert (parsed.codec, parsed.is_keyframe, parsed.is_sequence_header) == (codec, key, header)
    assert (parsed.composition_time, parsed.data_offset, parsed.data_end) == (time, offset, len(data))
    assert parsed.enhanced == (data[0] >= 0x80)
    assert not parsed.is_command
    assert is_video_keyframe(data) == key
    assert is_sequence_header(TAG_VIDEO, data) == header


@pytest.mark.parametrize(
    "body",
    [
        "57 00",  # a seek command
        "d0 00",  # the same, enhanced
        "94 68766331 02",  # HDR metadata
        "d4 68766331 02",  # the same as ffmpeg sends it
    ],
)
def test_video_tags_without_pictures(body):
    data = bytes.fromhex(body)
    assert parse_video(data).is_command
    assert not is_video_keyframe(data)
    assert not is_sequence_header(TAG_VIDEO, data)


@pytest.mark.parametrize("body", ["17 02 000000", "92 68766331"])
def test_end_of_sequence(body):
    data = bytes.fromhex(body)
    assert parse_video(data).is_end_of_sequence
    assert not is_video_keyframe(data)
    assert not is_sequence_header(TAG_VIDEO, data)


def test_of_several_tracks_the_first_counts():
    one = parse_video(bytes.fromhex("96 01 61766331 03 000009 aabb"))
    assert (one.codec, one.track, one.composition_time, one.data_offset) == (VideoCodec.H264, 3, 9, 10)
    many = bytes.fromhex("96 11 61766331 00 000005 000009 aabb 01 000004 000009 cc")
    first = parse_video(many)
    assert (first.track, first.is_keyframe, many[first.data_offset : first.data_end]) == (0, True, b"\xaa\xbb")
    codecs = bytes.fromhex("96 20 68766331 02 000002 aabb 61766331 01 000001 cc")
    first = parse_video(codecs)
    assert (first.codec, first.track, first.is_sequence_header) == (VideoCodec.H265, 2, True)
    assert codecs[first.data_offset : first.data_end] == b"\xaa\xbb"
    assert is_video_keyframe(many)
    assert is_sequence_header(TAG_VIDEO, codecs)


@pytest.mark.parametrize(
    ("body", "codec", "header", "offset"),
    [
        ("af 00 1210", AudioCodec.AAC, True, 2),
        ("af 01 21", AudioCodec.AAC, False, 2),
        ("2f ff", AudioCodec.MP3, False, 1),
        ("72 00", AudioCodec.OTHER, False, 1),  # G.711
        ("90 6d703461 1210", AudioCodec.AAC, True, 5),
        ("91 6d703461 21", AudioCodec.AAC, False, 5),
        ("90 4f707573 4f", AudioCodec.OPUS, True, 5),
        ("91 4f707573 aa", AudioCodec.OPUS, False, 5),
        ("91 2e6d7033 ff", AudioCodec.MP3, False, 5),
        ("91 664c6143 ff", AudioCodec.OTHER, False, 5),  # FLAC
        ("97 01 aabb 01 4f707573 ee", AudioCodec.OPUS, False, 9),
        ("95 01 4f707573 02 ee", AudioCodec.OPUS, False, 7),
        ("95 10 4f707573 00 000001 ee", AudioCodec.OPUS, True, 10),
    ],
)
def test_audio(body, codec, header, offset):
    data = bytes.fromhex(body)
    parsed = parse_audio(data)
    assert (parsed.codec, parsed.is_sequence_header, parsed.data_offset) == (codec, header, offset)
    assert not parsed.is_command
    assert is_sequence_header(TAG_AUDIO, data) == header


def test_channel_layout_is_a_command():
    assert parse_audio(bytes.fromhex("94 4f707573 00 02")).is_command


@pytest.mark.parametrize(
    "body", ["", "17", "17 01 00", "91 6876", "97", "97 ff 00", "97 05 aa", "96", "96 11 61766331 00 00"]
)
def test_a_cut_video_header_is_an_flv_error(body):
    data = bytes.fromhex(body)
    with pytest.raises(FlvError, match="cut short"):
        parse_video(data)
    assert is_video_keyframe(data) in (True, False)


@pytest.mark.parametrize("body", ["", "af", "91 4f70", "97", "95 01 4f707573"])
def test_a_cut_audio_header_is_an_flv_error(body):
    with pytest.raises(FlvError, match="cut short"):
        parse_audio(bytes.fromhex(body))


@given(st.binary(max_size=40))
def test_any_bytes_are_parsed_or_an_flv_error(body):
    for parse in (parse_video, parse_audio):
        try:
            header = parse(body)
        except FlvError:
            continue
        assert header.data_offset > 0


@given(st.binary(min_size=12, max_size=40))
def test_the_cheap_predicates_agree_with_the_parser(body):
    try:
        video = parse_video(body)
    except FlvError:
        return
    assert is_video_keyframe(body) == video.is_keyframe
    assert is_sequence_header(TAG_VIDEO, body) == video.is_sequence_header
    assert not is_sequence_header(TAG_SCRIPT, body)
    try:
        audio = parse_audio(body)
    except FlvError:
        return
    assert is_sequence_header(TAG_AUDIO, body) == audio.is_sequence_header
