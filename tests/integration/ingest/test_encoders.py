"""A real encoder: the ffmpeg that comes with imageio-ffmpeg."""

import asyncio
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, AudioCodec, Tag, VideoCodec
from livereel.flv.codecs import is_sequence_header
from livereel.flv.tags import TagReader
from livereel.ingest.config import IngestConfig
from tests.integration.ingest.support import Recorder, recorder

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def make(path: Path, *codecs: str) -> Path:
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-f", "lavfi", "-i", "sine=frequency=440"]
    command = [FFMPEG, "-v", "error", *source, "-t", "4", "-g", "60", *codecs, "-f", "flv", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize(
    ("codecs", "video"),
    [
        (("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"), VideoCodec.H264),
        (
            ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-c:a", "aac"),
            VideoCodec.H265,
        ),
    ],
    ids=["h264", "hevc"],
)
async def test_ffmpeg_is_recorded_tag_by_tag(tmp_path: Path, codecs: tuple[str, ...], video: VideoCodec) -> None:
    source = make(tmp_path / "source.flv", *codecs)
    async with recorder(tmp_path / "spool") as rec:
        url = f"rtmp://127.0.0.1:{rec.server.port}/live/cam?token=a%20b"
        command = [FFMPEG, "-v", "error", "-re", "-i", str(source), "-c", "copy", "-f", "flv", url]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors
        assert await rec.end_of("cam")
        stream = rec.streams["cam"]
        assert stream.publish.user_args == "token=a%20b"
        info = stream.info(rec.clock.now())
        assert (info.video_codec, info.audio_codec, info.width, info.height) == (
            str(video),
            str(AudioCodec.AAC),
            320,
            180,
        )
        sent, got = TagReader().feed(source.read_bytes()), rec.spooled("cam")
        assert frames(got, TAG_VIDEO) == frames(sent, TAG_VIDEO)
        # A recording begins with a key frame; the audio before it is of no use.
        sent_audio, audio = frames(sent, TAG_AUDIO), frames(got, TAG_AUDIO)
        assert len(sent_audio) - 3 <= len(audio)
        assert audio == sent_audio[-len(audio) :]


def frames(tags: list[Tag], kind: int) -> list[bytes]:
    """Bodies of frames. ffmpeg adds headers and end-of-sequence tags of its own, all shorter than a frame."""
    return [
        tag.payload for tag in tags if tag.kind == kind and len(tag.payload) > 40 and not is_sequence_header(*tag[::2])
    ]


async def endless(rec: Recorder, source: Path) -> asyncio.subprocess.Process:
    """ffmpeg that pushes the source in real time, again and again."""
    url = f"rtmp://127.0.0.1:{rec.server.port}/live/cam"
    return await asyncio.create_subprocess_exec(
        *(FFMPEG, "-v", "quiet", "-re", "-stream_loop", "-1", "-i", str(source), "-c", "copy", "-f", "flv", url)
    )


async def test_the_frame_rate_is_shown(tmp_path: Path) -> None:
    source = make(tmp_path / "source.flv", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    async with recorder(tmp_path / "spool") as rec:
        process = await endless(rec, source)
        stream = await rec.live("cam")
        async with asyncio.timeout(60):  # an encoder begins with a leap, and one on a busy machine leaps again
            while not 20 < stream.info(rec.clock.now()).frame_rate < 40:
                await asyncio.sleep(0.1)
        process.kill()
        await process.wait()
        await rec.end_of("cam")


async def test_ffmpeg_killed_in_the_middle(tmp_path: Path) -> None:
    source = make(tmp_path / "source.flv", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    async with recorder(tmp_path / "spool", IngestConfig(sweep_interval=5)) as rec:
        process = await endless(rec, source)
        async with asyncio.timeout(60):
            while rec.unread() < source.stat().st_size // 2:  # of four seconds; what no pass has brought yet
                await asyncio.sleep(0.05)
        process.kill()
        await process.wait()
        await rec.end_of("cam")
        assert max(tag.timestamp for tag in rec.spooled("cam")) > 500
