"""Assertions on media files: not exit codes, but frames, times and bytes."""

from itertools import pairwise
from pathlib import Path

import av

from livereel.recorder.probe import FileFacts, TrackFacts, probe


def decoded_frames(path: Path) -> tuple[int, int]:
    """(video frames, audio samples) that come out when the whole file is decoded. Raises on the first broken one."""
    frames = samples = 0
    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.thread_count = 1
        for packet in container.demux():
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    frames += 1
                elif isinstance(frame, av.AudioFrame):
                    samples += frame.samples
    return frames, samples


def assert_sound(
    path: Path, *, video_frames: int | None = None, audio_packets: int | None = None, may_be_silent: bool = False
) -> FileFacts:
    """The file plays: key frame first, times go forward on every track, packets as expected and all decodable.

    `may_be_silent`: a STOP right behind a cut leaves a file with a key frame, before any sound.
    """
    facts = probe(path)
    for track in (facts.video, facts.audio):
        if track is not None:
            assert track.packets or (may_be_silent and track is facts.audio), f"{path}: no packets of {track.codec}"
            assert_increasing(track, path)
    if facts.video is not None:
        assert facts.video.keys[:1] == [0], f"{path} does not begin with a key frame"
    frames, samples = decoded_frames(path)
    if video_frames is not None:
        assert facts.video is not None, f"{path} has no video"
        assert facts.video.packets == video_frames, f"{path}: {facts.video.packets} frames, not {video_frames}"
        assert frames == video_frames, f"{path}: {frames} frames can be decoded, not {video_frames}"
    if audio_packets is not None:
        assert facts.audio is not None, f"{path} has no audio"
        assert facts.audio.packets == audio_packets, f"{path}: {facts.audio.packets} audio packets, not {audio_packets}"
        assert samples > 0, f"{path}: no audio can be decoded"
    return facts


def assert_increasing(track: TrackFacts, path: Path) -> None:
    """Decoding times strictly increase, and no frame is shown before it is decoded."""
    for before, after in pairwise(track.dts):
        assert after > before, f"{path}: {track.codec} time goes from {before} to {after}"
    for decoded, shown in zip(track.dts, track.pts, strict=True):
        assert shown >= decoded - 1e-6, f"{path}: {track.codec} is shown at {shown}, decoded at {decoded}"


def av_offset(facts: FileFacts) -> float:
    """Seconds by which the first audio packet comes after the first video packet."""
    assert facts.video is not None and facts.audio is not None
    return facts.audio.dts[0] - facts.video.dts[0]
