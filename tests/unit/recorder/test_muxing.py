from itertools import pairwise
from pathlib import Path

import pytest

from livereel.domain.media import TAG_VIDEO, AudioCodec, AudioTrack, VideoCodec, VideoTrack
from livereel.flv.script import parse_script
from livereel.flv.tags import TagReader
from livereel.recorder.muxing.flv import FILLER_STRING, INDEX_ENTRIES, FlvWriter
from livereel.recorder.muxing.mp4 import Mp4Writer
from livereel.recorder.muxing.playlist import Playlist, count_slices
from livereel.recorder.muxing.port import BadPacket, CannotMux
from livereel.recorder.packets import Tracks
from tests.unit.recorder.packets import AAC, AVC, BOTH, audio, video


def test_flv_index_is_thinned_but_covers_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.flv"
    writer = FlvWriter(path, BOTH)
    count = INDEX_ENTRIES * 3 + 1
    for number in range(count):
        writer.write(video(number * 2000, key=True), number * 2000)
    written = writer.close(count * 2000)
    tags = TagReader().feed(path.read_bytes())
    _, values = parse_script(tags[0].payload)
    index = values["keyframes"]
    assert isinstance(index, dict) and isinstance(index["times"], list)
    times = index["times"]
    assert INDEX_ENTRIES / 2 <= len(times) <= INDEX_ENTRIES
    steps = {later - earlier for earlier, later in pairwise(times)}  # type: ignore[operator]
    assert steps == {8.0}
    assert times[0] == 0.0 and times[-1] >= (count - 1) * 2 - 8  # type: ignore[operator]
    assert written.size == path.stat().st_size
    assert [tag.kind for tag in tags[1:3]] == [TAG_VIDEO, 8]


def test_flv_without_a_close_is_an_flv_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.flv"
    writer = FlvWriter(path, Tracks(AVC, None))
    writer.write(video(0, key=True), 0)
    writer.abort()
    assert len(TagReader().feed(path.read_bytes())) == 2


def test_flv_head_keeps_its_size_and_has_no_string_that_ffmpeg_refuses(tmp_path: Path) -> None:
    sizes = set()
    for count in range(INDEX_ENTRIES + 1):
        path = tmp_path / "a.flv"
        writer = FlvWriter(path, BOTH)
        for number in range(count):
            writer.write(video(number, key=True), number)
        writer.close(count)
        head, *others = TagReader().feed(path.read_bytes())
        sizes.add(len(head.payload))
        assert len(others) == 2 + count
        _, values = parse_script(head.payload)
        filler = values["filler"]
        assert isinstance(filler, list)
        assert all(isinstance(text, str) and len(text) <= FILLER_STRING < 1024 for text in filler)
    assert len(sizes) == 1


def test_flv_refuses_what_lies_before_the_file(tmp_path: Path) -> None:
    writer = FlvWriter(tmp_path / "a.flv", BOTH)
    with pytest.raises(BadPacket):
        writer.write(audio(0), -5)
    writer.abort()


@pytest.mark.parametrize(
    "tracks",
    [
        Tracks(VideoTrack(VideoCodec.OTHER), AAC),
        Tracks(AVC, AudioTrack(AudioCodec.OTHER)),
        Tracks(VideoTrack(VideoCodec.VP9), None),
    ],
    ids=["video", "audio", "no header"],
)
def test_mp4_says_what_it_does_not_take(tmp_path: Path, tracks: Tracks) -> None:
    with pytest.raises(CannotMux):
        Mp4Writer(tmp_path / "a.mp4", tracks)


def test_playlist_grows_and_ends() -> None:
    playlist = Playlist(6)
    for number in range(3):
        playlist.add(f"{number}.ts", 1_784_614_528.25 + 6 * number, 6.006)
    growing, complete = playlist.text(complete=False), playlist.text(complete=True)
    assert count_slices(growing) == count_slices(complete) == 3
    assert "#EXT-X-TARGETDURATION:6\n" in growing
    assert "#EXT-X-PROGRAM-DATE-TIME:2026-07-21T06:15:28.250Z\n#EXTINF:6.006,\n0.ts\n" in growing
    assert not growing.endswith("#EXT-X-ENDLIST\n") and complete.endswith("#EXT-X-ENDLIST\n")
    assert growing.replace("EVENT", "VOD") + "#EXT-X-ENDLIST\n" == complete


def test_playlist_target_covers_every_slice_when_rounded() -> None:
    playlist = Playlist(2)
    playlist.add("0.ts", 0.0, 4.5)
    assert "TARGETDURATION:5\n" in playlist.text(complete=False) or "TARGETDURATION:4\n" in playlist.text(
        complete=False
    )
    playlist.add("1.ts", 4.5, 5.6)
    assert "TARGETDURATION:6\n" in playlist.text(complete=False)
