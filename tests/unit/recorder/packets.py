"""Packets made by hand."""

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, AudioCodec, AudioTrack, VideoCodec, VideoTrack
from livereel.domain.recordings import SpoolPosition
from livereel.recorder.packets import Packet, Tracks

AVC = VideoTrack(VideoCodec.H264, 320, 180, 30.0, b"\x17\0\0\0\0avc")
AVC_LARGE = VideoTrack(VideoCodec.H264, 640, 360, 30.0, b"\x17\0\0\0\0AVC")
AAC = AudioTrack(AudioCodec.AAC, 48_000, 2, b"\xaf\0\x11\x90")
AAC_MONO = AudioTrack(AudioCodec.AAC, 48_000, 1, b"\xaf\0\x11\x88")
BOTH = Tracks(AVC, AAC)


def video(dts: int, *, key: bool = False, track: VideoTrack = AVC, publish: int = 1) -> Packet:
    return Packet(TAG_VIDEO, dts, 0, key, track, publish, SpoolPosition(1, 10_000 + dts), b"\x17\x01\0\0\0V", 5, 6)


def audio(dts: int, *, track: AudioTrack = AAC, publish: int = 1) -> Packet:
    return Packet(TAG_AUDIO, dts, 0, False, track, publish, SpoolPosition(1, 10_000 + dts), b"\xaf\x01A", 2, 3)
