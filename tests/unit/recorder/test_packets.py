from hypothesis import given
from hypothesis import strategies as st

from livereel.recorder.packets import WAIT_FOR_KNOWN_TRACK_MS, WAIT_FOR_NEW_TRACK_MS, Interleaver, Packet
from tests.unit.recorder.packets import audio, video


def drain(interleaver: Interleaver) -> list[Packet]:
    packets = []
    while (packet := interleaver.pop()) is not None:
        packets.append(packet)
    return packets


def test_sorts_both_tracks() -> None:
    interleaver = Interleaver()
    for packet in (audio(0), audio(21), video(10, key=True), audio(42), video(50)):
        interleaver.push(packet)
    assert [packet.dts for packet in drain(interleaver)] == [0, 10, 21, 42]
    interleaver.flush()
    assert [packet.dts for packet in drain(interleaver)] == [50]


def test_key_frame_goes_before_audio_of_the_same_time() -> None:
    interleaver = Interleaver()
    interleaver.push(audio(40))
    interleaver.push(video(40, key=True))
    assert [packet.is_video for packet in drain(interleaver)] == [True, False]


def test_waits_a_moment_for_a_track_never_seen() -> None:
    interleaver = Interleaver()
    interleaver.push(video(0, key=True))
    interleaver.push(video(WAIT_FOR_NEW_TRACK_MS - 1))
    assert drain(interleaver) == []
    interleaver.push(video(WAIT_FOR_NEW_TRACK_MS))
    assert len(drain(interleaver)) == 3
    interleaver.push(video(WAIT_FOR_NEW_TRACK_MS + 40))
    assert len(drain(interleaver)) == 1


def test_waits_longer_for_a_track_that_was_there() -> None:
    interleaver = Interleaver()
    interleaver.push(audio(0))
    interleaver.push(video(0, key=True))
    interleaver.push(video(WAIT_FOR_KNOWN_TRACK_MS))
    assert [packet.dts for packet in drain(interleaver)] == [0, 0]
    interleaver.push(video(2 * WAIT_FOR_KNOWN_TRACK_MS))
    assert len(drain(interleaver)) == 2
    interleaver.push(audio(5))  # late, but not lost
    interleaver.push(video(2 * WAIT_FOR_KNOWN_TRACK_MS + 40))
    assert [packet.dts for packet in drain(interleaver)] == [5]


def test_does_not_wait_for_what_cannot_come() -> None:
    interleaver = Interleaver()
    interleaver.push(audio(100))
    interleaver.push(video(90, key=True))
    assert [packet.dts for packet in drain(interleaver)] == [90]
    interleaver.push(video(100))
    assert [packet.dts for packet in drain(interleaver)] == [100, 100]


steps = st.lists(st.tuples(st.booleans(), st.integers(1, 3000), st.booleans()), max_size=80)


@given(steps, st.integers(0, 80))
def test_every_packet_comes_out_once_and_tracks_keep_their_order(steps: list[tuple[bool, int, bool]], cut: int) -> None:
    """Also when the state is taken down and set up again in the middle."""
    plain, resumed = Interleaver(), Interleaver()
    times = {True: 0, False: 0}
    pushed: dict[bool, list[Packet]] = {True: [], False: []}
    out: list[Packet] = []
    for number, (is_video, step, flush) in enumerate(steps):
        if number == cut:
            resumed = Interleaver.from_json(resumed.to_json(), resumed.waiting())
        times[is_video] += step
        packet = video(times[is_video]) if is_video else audio(times[is_video])
        pushed[is_video].append(packet)
        for interleaver in (plain, resumed):
            interleaver.push(packet)
            if flush:
                interleaver.flush()
        popped = drain(plain)
        assert popped == drain(resumed)
        out += popped
    plain.flush()
    out += drain(plain)
    for is_video in (True, False):
        assert [packet for packet in out if packet.is_video == is_video] == pushed[is_video]
