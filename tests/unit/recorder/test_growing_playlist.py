"""The beginning of a playlist, which names only what is in the store."""

from livereel.recorder.muxing.playlist import Playlist, count_slices, with_first


def test_every_beginning_is_the_playlist_of_that_moment() -> None:
    playlist, before = Playlist(2), [Playlist(2).text(complete=False)]
    for number in range(5):
        playlist.add(f"{number} #.ts", 1_784_614_528.0 + number, 2.0, discontinuity=number == 3)
        before.append(playlist.text(complete=False))
    for slices, text in enumerate(before[1:], 1):
        assert with_first(slices, before[-1]) == text
        assert slices == 5 or with_first(slices, playlist.text(complete=True)) == text
        assert count_slices(with_first(slices, before[-1])) == slices
    assert with_first(9, before[-1]) == before[-1]
    assert count_slices(with_first(0, before[-1])) == 0
