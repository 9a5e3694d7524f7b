"""Numbers against an account, without files."""

from pathlib import Path

import pytest

from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification, VerifyLevel, reasons
from livereel.verify.compare import TrackRead, differences
from livereel.verify.request import Account, CheckRequest, from_line, to_line

WRAP_MS = 2**33 / 90


def account(**changes: object) -> Account:
    report = {
        "spooled": {"video": 3, "audio": 1},
        "packets": {"video": 3, "audio": 0},
        "dropped": {"before the first key frame": 1},
        "key_frames": 1,
        "content_crc32": {"video": "00000007"},
        "first_dts": {"video": 0.0},
        "last_dts": {"video": 0.08},
    }
    return Account(RecordFormat.FLV, report | changes, 0.12, "H264", "")


def video(*times: float, wraps: bool = False, content: int = 7) -> TrackRead:
    track = TrackRead("h264", content=content)
    for number, time in enumerate(times):
        track.add(time, is_key=number == 0, wraps=wraps)
    return track


def words(track: TrackRead | None, duration: float | None = 0.12, **changes: object) -> list[str]:
    read = {} if track is None else {"video": track}
    return [damage.reason.value for damage in differences(account(**changes), read, duration)]


def test_equal_numbers_are_no_damage() -> None:
    assert words(video(0, 40, 80)) == []
    assert words(video(1400, 1440, 1480), duration=None) == []  # containers begin where they like


@pytest.mark.parametrize(
    ("track", "expected"),
    [
        (None, ["tracks"]),
        (TrackRead("h264"), ["packets"]),
        (video(0, 40), ["packets", "times"]),
        (video(0, 40, 40), ["order", "times"]),
        (video(0, 40, 84), ["times"]),
        (video(0, 40, 82), []),
        (video(0, 40, 80, content=8), ["content"]),
    ],
)
def test_other_numbers(track: TrackRead | None, expected: list[str]) -> None:
    assert words(track) == expected


def test_sums_that_do_not_add_up() -> None:
    assert words(video(0, 40, 80), spooled={"video": 4, "audio": 1}) == ["packets"]
    assert words(video(0, 40, 80), dropped={}) == ["packets"]


def test_the_clock_of_ts_wraps_after_a_day() -> None:
    track = video(WRAP_MS - 40, 0, 40, wraps=True)
    assert track.backwards == []
    assert track.last - track.first == pytest.approx(80)
    assert video(WRAP_MS - 40, 0, 40).backwards == [0]


def test_requests_and_verdicts_survive_the_pipe() -> None:
    request = CheckRequest(Path("/w/x.flv"), account(), VerifyLevel.FULL)
    assert from_line(to_line(request)) == request
    damages = (Damage(DamageReason.SIZE, "1 instead of 2", "1.ts"), Damage(DamageReason.MISSING, "gone"))
    verdict = Verdict(Verification.DAMAGED, damages, "0" * 64)
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert reasons(damages) == ["missing", "size"]
    assert not verdict.as_received
