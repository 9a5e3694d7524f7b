"""Holding what was read against the account of it. Numbers only; knows neither files nor libav."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from livereel.domain.media import AudioCodec, VideoCodec
from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Damage, DamageReason
from livereel.verify.request import Account

#: MP4 keeps audio times in samples; what comes back is rounded to 1/8000 s at worst, twice.
TIME_TOLERANCE_MS: Final = 3
#: The last frame of a file has no frame behind it that would say how long it lasts: container and account may guess
#: differently by one frame.
DURATION_TOLERANCE: Final = 0.5  # seconds
#: Names of libav for our codecs. A decoder may go by a name of its own.
_NAMES: Final[dict[str, set[str]]] = {
    VideoCodec.H264: {"h264"},
    VideoCodec.H265: {"hevc"},
    VideoCodec.AV1: {"av1", "libdav1d", "libaom-av1"},
    VideoCodec.VP9: {"vp9", "libvpx-vp9"},
    AudioCodec.AAC: {"aac"},
    AudioCodec.MP3: {"mp3", "mp3float"},
    AudioCodec.OPUS: {"opus", "libopus"},
}
#: The tick of MPEG-TS wraps after 26.5 hours: ISO/IEC 13818-1, 2.4.3.7.
_TS_WRAP_MS: Final = 2**33 / 90


@dataclass(slots=True)
class TrackRead:
    """One track as it was read. Times are milliseconds; `content` is the CRC-32 of all packet data."""

    codec: str = ""
    packets: int = 0
    keys: int = 0
    size: int = 0
    content: int = 0
    first: float = 0.0
    last: float = 0.0
    backwards: list[float] = field(default_factory=list)  # where time does not go forward
    first_is_key: bool = False

    def add(self, dts: float, *, is_key: bool, wraps: bool) -> None:
        """The next packet's time."""
        if self.packets == 0:
            self.first = dts
            self.first_is_key = is_key
        else:
            if wraps:
                dts += round((self.last - dts) / _TS_WRAP_MS) * _TS_WRAP_MS
            if dts <= self.last:
                self.backwards.append(dts)
        self.packets += 1
        self.keys += is_key
        self.last = dts


def differences(account: Account, read: dict[str, TrackRead], duration: float | None) -> Iterator[Damage]:
    """What is not as it should be. `duration` is what the container says, None if it says nothing."""
    report = account.report
    codecs = {"video": account.video_codec, "audio": account.audio_codec}
    for kind, codec in codecs.items():
        expected, found = report["packets"][kind], read.get(kind)
        if expected and found is None:
            yield Damage(DamageReason.TRACKS, f"there is no {kind}")
        elif found is not None:
            if not expected and found.packets:
                yield Damage(DamageReason.TRACKS, f"there is {kind}, which was not received")
            elif found.packets:
                yield from _track(account, kind, codec, found)
            elif expected:
                yield Damage(DamageReason.PACKETS, f"0 {kind} packets instead of {expected}")
    yield from _sums(report)
    if duration is not None and abs(duration - account.duration) > DURATION_TOLERANCE:
        yield Damage(DamageReason.DURATION, f"{duration:.3f} s instead of {account.duration:.3f} s")
    yield from _times(report, read)


def _track(account: Account, kind: str, codec: str, found: TrackRead) -> Iterator[Damage]:
    report, expected = account.report, account.report["packets"][kind]
    names = _NAMES.get(codec)  # other codecs go by names that nobody has compared
    if names is not None and found.codec not in names:
        yield Damage(DamageReason.TRACKS, f"{kind} is {found.codec} instead of {codec}")
    if found.packets != expected:
        yield Damage(DamageReason.PACKETS, f"{found.packets} {kind} packets instead of {expected}")
    if found.backwards:
        at = found.backwards[0] / 1000
        yield Damage(DamageReason.ORDER, f"{len(found.backwards)} times {kind} goes back, first at {at:.3f} s")
    if kind == "video":
        if not found.first_is_key:
            yield Damage(DamageReason.KEY_FRAME_FIRST, "the first frame is no key frame")
        # In MPEG-TS nothing but the frames themselves says which are key frames, and encoders differ there.
        if account.format is not RecordFormat.HLS and found.keys != report["key_frames"]:
            yield Damage(DamageReason.KEY_FRAMES, f"{found.keys} key frames instead of {report['key_frames']}")
    if _carries_as_received(account.format, codec):
        crc = report.get("content_crc32", {}).get(kind)
        if crc is not None and found.packets == expected and f"{found.content:08x}" != crc:
            yield Damage(DamageReason.CONTENT, f"{kind} holds other bytes than were received")


def _sums(report: dict[str, Any]) -> Iterator[Damage]:
    """Whatever the spool held is in the file or was left out for a reason that was written down."""
    if (spooled := report.get("spooled")) is None:
        return
    kept, dropped = sum(report["packets"].values()), sum(report["dropped"].values())
    if sum(spooled.values()) != kept + dropped:
        yield Damage(
            DamageReason.PACKETS,
            f"the spool held {sum(spooled.values())} packets, of which {kept} were written and {dropped} left out",
        )


def _times(report: dict[str, Any], read: dict[str, TrackRead]) -> Iterator[Damage]:
    """Times are compared from the first video frame on, or the first audio: containers begin where they like."""
    present = [kind for kind in ("video", "audio") if kind in report["first_dts"] and kind in read]
    if not present or not read[present[0]].packets:
        return
    base_read, base_account = read[present[0]].first, report["first_dts"][present[0]] * 1000
    for kind in present:
        for name, value, member in (("first", read[kind].first, "first_dts"), ("last", read[kind].last, "last_dts")):
            found, expected = value - base_read, report[member][kind] * 1000 - base_account
            if abs(found - expected) > TIME_TOLERANCE_MS:
                detail = f"the {name} {kind} packet is at {found / 1000:.3f} s instead of {expected / 1000:.3f} s"
                yield Damage(DamageReason.TIMES, detail)


def _carries_as_received(record_format: RecordFormat, codec: str) -> bool:
    """Whether packets come out of the container byte by byte as they went in.

    MPEG-TS carries other framing, and MP4 leaves out what AV1 needs only in streams.
    """
    return record_format is not RecordFormat.HLS and not (
        record_format is RecordFormat.MP4 and codec == VideoCodec.AV1.value
    )
