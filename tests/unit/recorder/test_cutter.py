import pytest

from livereel.domain.templates import MERGE_FOREVER
from livereel.recorder.cutter import CutReason, Cutter, Verdict
from livereel.recorder.packets import Packet, Tracks
from tests.unit.recorder.packets import AAC, AAC_MONO, AVC, AVC_LARGE, BOTH, audio, video


def opened(cycle: int = 0, merge_window: int = 0, tracks: Tracks = BOTH) -> Cutter:
    cutter = Cutter(cycle, merge_window)
    first = video(0, key=True) if tracks.video else audio(0)
    assert cutter.judge(first, True, 0.0, lambda _: tracks) is Verdict.OPEN
    cutter.opened(first, tracks)
    return cutter


def judge(
    cutter: Cutter, packet: Packet, *, gap: float | None = 0.0, opens: bool | None = None, then: Tracks = BOTH
) -> Verdict:
    return cutter.judge(packet, packet.is_key if opens is None else opens, gap, lambda _: then)


def test_nothing_is_written_before_a_key_frame() -> None:
    cutter = Cutter(0, 0)
    assert judge(cutter, audio(0)) is Verdict.DROP
    assert judge(cutter, video(0)) is Verdict.DROP
    assert judge(cutter, video(40, key=True)) is Verdict.OPEN


def test_cycle_cuts_at_the_first_key_frame_that_is_late_enough() -> None:
    cutter = opened(cycle=60)
    assert judge(cutter, video(59_999, key=True)) is Verdict.WRITE
    assert judge(cutter, video(60_000)) is Verdict.WRITE
    assert judge(cutter, audio(60_010)) is Verdict.WRITE
    assert judge(cutter, video(60_040, key=True)) is Verdict.OPEN
    assert cutter.reason is CutReason.CYCLE


def test_cycle_zero_never_cuts() -> None:
    cutter = opened(cycle=0)
    assert judge(cutter, video(10**9, key=True)) is Verdict.WRITE


def test_audio_only_is_cut_at_any_packet() -> None:
    cutter = opened(cycle=60, tracks=Tracks(None, AAC))
    assert judge(cutter, audio(59_990), opens=True) is Verdict.WRITE
    assert judge(cutter, audio(60_011), opens=True) is Verdict.OPEN


def test_new_picture_size_cuts_at_its_key_frame() -> None:
    cutter = opened()
    assert judge(cutter, video(40, track=AVC_LARGE)) is Verdict.DROP
    assert judge(cutter, audio(41)) is Verdict.WRITE
    assert judge(cutter, video(80, key=True, track=AVC_LARGE)) is Verdict.OPEN
    assert cutter.reason is CutReason.PARAMETERS


def test_new_audio_waits_for_a_key_frame() -> None:
    cutter = opened()
    assert judge(cutter, audio(20, track=AAC_MONO)) is Verdict.DROP
    assert judge(cutter, video(40)) is Verdict.WRITE
    assert judge(cutter, video(80, key=True)) is Verdict.OPEN


def test_equal_header_in_a_new_object_is_no_change() -> None:
    cutter = opened()
    assert (
        judge(cutter, video(40, key=True, track=AVC.__class__(AVC.codec, 320, 180, 29.97, AVC.header))) is Verdict.WRITE
    )


@pytest.mark.parametrize(
    ("merge_window", "gap", "verdict"),
    [
        (0, 0.0, Verdict.OPEN),
        (30, 29.9, Verdict.WRITE),
        (30, 30.1, Verdict.OPEN),
        (MERGE_FOREVER, 86_400.0, Verdict.WRITE),
    ],
)
def test_merge_window(merge_window: int, gap: float, verdict: Verdict) -> None:
    cutter = opened(merge_window=merge_window)
    assert judge(cutter, video(40, key=True, publish=2), gap=gap) is verdict
    assert cutter.merged == (verdict is Verdict.WRITE)
    if verdict is Verdict.OPEN:
        assert cutter.reason is CutReason.INTERRUPTION
    else:
        assert judge(cutter, video(80, publish=2), gap=gap) is Verdict.WRITE
        assert not cutter.merged


@pytest.mark.parametrize("merge_window", [0, 30, MERGE_FOREVER])
def test_a_publish_that_took_over_goes_into_the_open_file(merge_window: int) -> None:
    cutter = opened(merge_window=merge_window)
    assert judge(cutter, video(40, key=True, publish=2), gap=None) is Verdict.WRITE
    assert cutter.merged


def test_a_publish_that_took_over_with_other_tracks_begins_a_file() -> None:
    cutter = opened()
    assert judge(cutter, video(40, key=True, publish=2), gap=None, then=Tracks(AVC, None)) is Verdict.OPEN
    assert cutter.reason is CutReason.PARAMETERS


def test_audio_before_the_key_frame_of_a_new_publish_ends_the_file() -> None:
    cutter = opened()
    assert judge(cutter, audio(40, publish=2), gap=9.0) is Verdict.CLOSE
    cutter.closed()
    assert judge(cutter, audio(60, publish=2), gap=9.0) is Verdict.DROP
    assert judge(cutter, video(61, key=True, publish=2), gap=9.0) is Verdict.OPEN


@pytest.mark.parametrize("then", [Tracks(AVC, None), Tracks(AVC, AAC_MONO)], ids=["no audio", "mono"])
def test_merged_publish_with_other_tracks_begins_a_file(then: Tracks) -> None:
    cutter = opened(merge_window=30)
    assert judge(cutter, video(40, key=True, publish=2), gap=1.0, then=then) is Verdict.OPEN
    assert cutter.reason is CutReason.PARAMETERS
