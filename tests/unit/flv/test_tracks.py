import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.media import AudioCodec, VideoCodec
from livereel.flv.parameters import avc_size
from livereel.flv.tags import FlvError
from livereel.flv.tracks import audio_track, video_track

# Sequence headers as libx264, libx265, SVT-AV1 and libvpx wrote them through ffmpeg 9 (their comments cut off).
AVC_720P = "1700000000 0142c01fffe100176742c01fda014016ec0440000003004000000f03c60ca801000468ce3c80"
AVC_854X482 = "1700000000 0142c01fffe100196742c01fda0360ff9a230110000003001000000303c0f1832a01000468ce0fc8"
AVC_1080P = "1700000000 014d4028ffe1001a674d4028eca03c0227ef0110000003001000000303c1f162d96001000468de0fc8"
AVC_1080I = "1700000000 01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3cb22c0fdf8f800"
AVC_444 = "1700000000 01f40015ffe1001a67f40015919b281004fc6cb808800000030080000019078b16cb01000668ebe3c44844fff8f800"
HEVC_640X362 = (
    "90 68766331 0101600000009000000000003ff000fcfdf8f800000f04200001001840010c01ffff0160000003009000000300000300"
    "3f959409210001002b42010101600000030090000003000003003fa005020171f26595952930bc05a020000003002000000303c122"
)
HEVC_422_10 = (
    "90 68766331 0104080000009d080000000078f000fcfefafa00000f04200001001740010c01ffff0408000003009d08000003000078"
    "959809210001002c4201010408000003009d08000003000078b003c08010e756d96566924caf016808000003000800000300c840"
)
AV1_640X362 = "90 61763031 81010c000a0c0200000d2627fb4805f00080"
VP9 = "90 76703039 010000000015820202020000"


@pytest.mark.parametrize(
    ("body", "codec", "size"),
    [
        (AVC_720P, VideoCodec.H264, (1280, 720)),
        (AVC_854X482, VideoCodec.H264, (854, 482)),
        (AVC_1080P, VideoCodec.H264, (1920, 1080)),
        (AVC_1080I, VideoCodec.H264, (1920, 1080)),
        (AVC_444, VideoCodec.H264, (500, 300)),
        (HEVC_640X362, VideoCodec.H265, (640, 362)),
        (HEVC_422_10, VideoCodec.H265, (1918, 1078)),
        (AV1_640X362, VideoCodec.AV1, (640, 362)),
        (VP9, VideoCodec.VP9, (0, 0)),
    ],
)
def test_size_comes_from_the_codec_header(body, codec, size):
    data = bytes.fromhex(body)
    track = video_track(data)
    assert (track.codec, (track.width, track.height), track.frame_rate) == (codec, size, None)
    assert track.header == data


def test_legacy_hevc_has_the_same_record():
    data = b"\x1c\x00\x00\x00\x00" + bytes.fromhex(HEVC_640X362)[5:]
    assert (video_track(data).width, video_track(data).height) == (640, 362)


def test_metadata_helps_where_the_header_is_silent():
    metadata = {"width": 640.0, "height": 362.0, "framerate": 29.97}
    track = video_track(bytes.fromhex(VP9), metadata)
    assert (track.width, track.height, track.frame_rate) == (640, 362, 29.97)
    broken = video_track(b"\x17\x00\x00\x00\x00\x01\x42", metadata)
    assert (broken.width, broken.height) == (640, 362)
    assert video_track(bytes.fromhex(AVC_720P), metadata).width == 1280


def test_nonsense_in_metadata_is_ignored():
    track = video_track(bytes.fromhex(VP9), {"width": "wide", "height": -1.0, "framerate": float("nan")})
    assert (track.width, track.height, track.frame_rate) == (0, 0, None)
    assert video_track(bytes.fromhex(VP9), {"width": float("inf")}).width == 0


def test_a_frame_that_is_no_header_gives_a_track_without_one():
    assert video_track(bytes.fromhex("12 84")).header == b""


@pytest.mark.parametrize(
    ("body", "codec", "rate", "channels"),
    [
        ("af 00 121056e500", AudioCodec.AAC, 44100, 2),
        ("af 00 119056e500", AudioCodec.AAC, 48000, 2),
        ("af 00 1388", AudioCodec.AAC, 22050, 1),
        ("af 00 1780 2ee0 08", AudioCodec.AAC, 24000, 1),  # an explicit 24-bit rate
        ("af 00 2b11 8800", AudioCodec.AAC, 48000, 2),  # HE-AAC: 24 kHz core, 48 kHz out
        ("af 00 eb09 8800", AudioCodec.AAC, 48000, 2),  # HE-AAC v2: one channel in, two out
        ("af 00 11b8", AudioCodec.AAC, 48000, 8),
        ("90 6d703461 1190", AudioCodec.AAC, 48000, 2),
        ("90 4f707573 4f7075734865616401013801 80bb0000 0000 00", AudioCodec.OPUS, 48000, 1),
        ("2f fffb", AudioCodec.MP3, 44100, 2),
        ("2a fffb", AudioCodec.MP3, 22050, 1),
    ],
)
def test_audio(body, codec, rate, channels):
    track = audio_track(bytes.fromhex(body))
    assert (track.codec, track.sample_rate, track.channels) == (codec, rate, channels)


def test_a_broken_audio_config_leaves_the_track():
    data = bytes.fromhex("af 00 17")
    assert audio_track(data).codec is AudioCodec.AAC
    assert audio_track(data).header == data


@given(st.sampled_from([AVC_720P, HEVC_640X362, AV1_640X362]), st.data())
def test_damaged_headers_never_raise(body, data):
    damaged = bytearray.fromhex(body)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(5, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    video_track(bytes(damaged[: data.draw(st.integers(5, len(damaged)))]))


@given(st.binary(max_size=80))
def test_any_bytes_make_a_track_or_an_flv_error(body):
    for track in (video_track, audio_track):
        with contextlib.suppress(FlvError):
            track(body)


def test_a_huge_header_is_not_a_way_to_burn_time():
    video_track(b"\x17\x00\x00\x00\x00" + bytes.fromhex("0142c01fffe1ffff") + bytes(10_000_000))
    video_track(b"\x90av01\x81\x00\x00\x00" + b"\x12\x00" * 100_000)


def test_a_parameter_set_may_not_ask_for_more_numbers_than_the_standard_allows():
    endless = b"\x67\x42\0\x1e\xd7\x00\x00\x1f\xff" + b"\xff" * 400
    record = b"\1\x42\0\x1e\xff\xe1" + len(endless).to_bytes(2, "big") + endless
    with pytest.raises(FlvError, match="order cycle of 1048574"):
        avc_size(record)
