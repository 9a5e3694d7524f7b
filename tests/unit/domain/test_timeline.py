from hypothesis import given
from hypothesis import strategies as st

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO
from livereel.domain.timeline import MAX_BACK_MS, MAX_FORWARD_MS, Repair, RepairKind, Timeline

WRAP = 1 << 32


def stamps(timeline: Timeline, *tags: tuple[int, int]) -> list[int]:
    return [timeline.place(kind, timestamp % WRAP)[0] for kind, timestamp in tags]


def video(timeline: Timeline, *timestamps: int) -> list[int]:
    return stamps(timeline, *((TAG_VIDEO, timestamp) for timestamp in timestamps))


def test_starts_at_zero_wherever_the_encoder_is() -> None:
    assert video(Timeline(), 4_000_000_000, 4_000_000_033, 4_000_000_066) == [0, 33, 66]


def test_audio_offset_is_kept() -> None:
    assert stamps(Timeline(), (TAG_VIDEO, 1000), (TAG_AUDIO, 1013), (TAG_VIDEO, 1033)) == [0, 13, 33]


def test_audio_may_be_earlier_than_the_first_frame() -> None:
    assert stamps(Timeline(), (TAG_VIDEO, 1000), (TAG_AUDIO, 990)) == [0, -10]


def test_wraps_without_a_seam() -> None:
    timeline = Timeline()
    first = WRAP - 50
    assert stamps(timeline, *((TAG_VIDEO, first + 40 * n) for n in range(5))) == [0, 40, 80, 120, 160]


def test_two_wraps() -> None:
    timeline = Timeline()
    step = 5000
    count = 2 * WRAP // step + 10
    timeline.place(TAG_VIDEO, 0)
    state = timeline.to_json()
    state["tracks"]["video"] = [0, (count - 1) * step, (count - 1) * step, 33]
    state["high"] = (count - 1) * step
    timeline = Timeline.from_json(state)
    assert video(timeline, count * step % WRAP) == [count * step]


def test_true_gap_is_kept() -> None:
    assert video(Timeline(), 0, 40, 8000, 8040) == [0, 40, 8000, 8040]


def test_long_gap_is_kept_if_the_wall_clock_agrees() -> None:
    timeline = Timeline()
    assert video(timeline, 0, 40) == [0, 40]
    timeline.confirm(60_000)
    assert timeline.place(TAG_VIDEO, 60_000) == (60_000, None)
    assert timeline.place(TAG_VIDEO, 120_000)[0] == 60_000 + 40  # confirmed once, not for ever


def test_jump_forward_becomes_one_step_for_both_tracks() -> None:
    timeline = Timeline()
    before = stamps(timeline, (TAG_VIDEO, 0), (TAG_AUDIO, 10), (TAG_VIDEO, 40), (TAG_AUDIO, 31))
    assert before == [0, 10, 40, 31]
    hour = 3_600_000
    assert timeline.place(TAG_VIDEO, hour + 80) == (80, Repair(RepairKind.JUMP, hour))
    placed, repair = timeline.place(TAG_AUDIO, hour + 73)
    assert placed == 73 and repair is not None and repair.kind is RepairKind.JUMP
    assert timeline.place(TAG_VIDEO, hour + 120) == (120, None)


def test_jump_back_becomes_one_step_for_both_tracks() -> None:
    timeline = Timeline()
    stamps(timeline, (TAG_VIDEO, 50_000), (TAG_AUDIO, 50_010), (TAG_VIDEO, 50_040), (TAG_AUDIO, 50_031))
    assert stamps(timeline, (TAG_VIDEO, 0), (TAG_AUDIO, 5), (TAG_VIDEO, 40), (TAG_AUDIO, 26)) == [80, 85, 120, 106]


def test_one_broken_track_does_not_take_the_other_along() -> None:
    timeline = Timeline()
    stamps(timeline, (TAG_VIDEO, 0), (TAG_AUDIO, 10))
    hour = 3_600_000
    result = stamps(
        timeline, *(pair for n in range(1, 5) for pair in ((TAG_VIDEO, n * 40), (TAG_AUDIO, hour + n * 40)))
    )
    assert result[0::2] == [40, 80, 120, 160]
    assert result[1::2] == [result[1] + 40 * n for n in range(4)]
    assert abs(result[-1] - 160) < 200


def test_equal_stamps_move_by_a_millisecond() -> None:
    timeline = Timeline()
    assert video(timeline, 0, 0, 66, 66, 132) == [0, 1, 66, 67, 132]


def test_small_back_step_is_absorbed() -> None:
    timeline = Timeline()
    assert video(timeline, 0, 40, 30, 80) == [0, 40, 41, 80]
    assert timeline.place(TAG_VIDEO, 70) == (81, Repair(RepairKind.BACK, -11))


def test_new_publish_goes_on_one_step_later() -> None:
    timeline = Timeline()
    stamps(timeline, (TAG_VIDEO, 1000), (TAG_AUDIO, 1010), (TAG_VIDEO, 1040), (TAG_VIDEO, 1080))
    timeline.begin()
    assert timeline.place(TAG_VIDEO, 0) == (120, Repair(RepairKind.PUBLISH, 0))
    assert stamps(timeline, (TAG_AUDIO, 3), (TAG_VIDEO, 40), (TAG_AUDIO, 24)) == [123, 160, 144]


def test_begin_before_anything_means_nothing() -> None:
    timeline = Timeline()
    timeline.begin()
    assert timeline.place(TAG_VIDEO, 7) == (0, None)


def test_audio_that_was_away_comes_back_in_its_place() -> None:
    timeline = Timeline()
    stamps(timeline, (TAG_VIDEO, 0), (TAG_AUDIO, 0))
    video(timeline, *range(40, 60_000, 40))
    assert timeline.place(TAG_AUDIO, 59_990) == (59_990, None)


def test_track_with_another_epoch_is_put_beside_the_first() -> None:
    timeline = Timeline()
    video(timeline, 0, 40, 80)
    placed, repair = timeline.place(TAG_AUDIO, 1_700_000_000)
    assert placed == 80 and repair is not None and repair.kind is RepairKind.JUMP
    assert timeline.place(TAG_AUDIO, 1_700_000_021) == (101, None)


def test_first_audio_of_a_new_publish_does_not_run_into_the_old_one() -> None:
    timeline = Timeline()
    stamps(timeline, (TAG_VIDEO, 1000), (TAG_AUDIO, 1030))
    timeline.begin()
    assert stamps(timeline, (TAG_VIDEO, 500), (TAG_AUDIO, 450), (TAG_AUDIO, 471)) == [51, 31, 32]


any_tags = st.lists(
    st.tuples(
        st.sampled_from([TAG_VIDEO, TAG_AUDIO]),
        st.one_of(st.integers(0, WRAP - 1), st.integers(0, 2000), st.integers(WRAP - 2000, WRAP - 1)),
        st.booleans(),
    ),
    max_size=60,
)


@given(any_tags)
def test_any_stamps_come_out_increasing_and_bounded(tags: list[tuple[int, int, bool]]) -> None:
    timeline = Timeline()
    last: dict[int, int] = {}
    high = 0
    for kind, timestamp, restart in tags:
        if restart:
            timeline.begin()
        out, _ = timeline.place(kind, timestamp)
        assert out > last.get(kind, -MAX_FORWARD_MS - 1)
        assert out <= high + MAX_FORWARD_MS + MAX_BACK_MS
        last[kind] = out
        high = max(high, out)


@given(any_tags, st.integers(0, 60))
def test_checkpoint_changes_nothing(tags: list[tuple[int, int, bool]], cut: int) -> None:
    straight, broken = Timeline(), Timeline()
    for index, (kind, timestamp, restart) in enumerate(tags):
        if index == cut:
            broken = Timeline.from_json(broken.to_json())
        if restart:
            straight.begin()
            broken.begin()
        assert straight.place(kind, timestamp) == broken.place(kind, timestamp)


@given(
    st.integers(0, WRAP - 1),
    st.lists(st.tuples(st.sampled_from([TAG_VIDEO, TAG_AUDIO]), st.integers(1, 400)), min_size=1, max_size=50),
)
def test_sound_stamps_are_only_shifted(first: int, steps: list[tuple[int, int]]) -> None:
    timeline = Timeline()
    now = first
    timeline.place(TAG_VIDEO, first)
    for kind, step in steps:
        now += step
        assert timeline.place(kind, now % WRAP) == (now - first, None)
