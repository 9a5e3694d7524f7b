"""Encoders: ffmpeg (from imageio-ffmpeg), GStreamer and nginx-rtmp as real processes."""

import signal
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg

from tests.acceptance.tools import aac_encoder, nginx, nginx_rtmp_module
from tests.ports import listening

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FRAME_RATE = 30
SIZE = "640x360"  # small pictures: the tests are about bytes and times, not about this machine's speed


class Encoder:
    """A pushing process."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def wait(self, timeout: float = 90.0) -> int:
        """The exit status, when it ends by itself."""
        return self._process.wait(timeout)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it printed."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """End it as a user does (Ctrl-C); a no-op when it has ended."""
        if self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Cut it off without a word to the server."""
        self._process.kill()
        self._process.wait()


def footage_command(path: Path, seconds: float, gop_seconds: float) -> list[str]:
    """The ffmpeg command that makes an FLV of moving test picture and tone: H.264 with B-frames, and AAC."""
    gop = str(round(gop_seconds * FRAME_RATE))
    return [
        *(FFMPEG, "-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size={SIZE}:rate={FRAME_RATE}"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"),
        *("-t", str(seconds), "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"),
        *("-g", gop, "-keyint_min", gop, "-sc_threshold", "0", "-c:a", "aac", "-f", "flv", str(path)),
    ]


def push_command(footage: Path, url: str, *options: str, speed: float = 1.0) -> list[str]:
    """The ffmpeg command that pushes a file as it is, `speed` times as fast as real time."""
    source = ("-readrate", str(speed), "-i", str(footage), "-c", "copy", "-f", "flv")
    return [FFMPEG, "-hide_banner", "-nostats", *source, *options, url]


def gstreamer_command(url: str, seconds: float, sink: str = "rtmp2sink") -> list[str]:
    """Picture and tone of GStreamer's own sources, pushed by `sink`. No B-frames: flvmux 1.22 moves their times.

    They are paced behind the muxer: where a busy machine makes live sources late, it moves times as well.
    """
    audio_buffers = round(seconds * 44100 / 1024)
    return [
        *("gst-launch-1.0", "-e"),
        *("flvmux", "name=mux", "streamable=true", "!", "identity", "sync=true", "!", sink, f"location={url}"),
        *("videotestsrc", "pattern=ball", f"num-buffers={round(seconds * FRAME_RATE)}", "!"),
        *(f"video/x-raw,width=640,height=360,framerate={FRAME_RATE}/1", "!"),
        *("x264enc", "speed-preset=veryfast", "tune=zerolatency", f"key-int-max={FRAME_RATE}", "bitrate=1000", "!"),
        *("video/x-h264,profile=main", "!", "h264parse", "!", "queue", "!", "mux."),
        *("audiotestsrc", f"num-buffers={audio_buffers}", "samplesperbuffer=1024", "!"),
        *("audio/x-raw,rate=44100,channels=2", "!", "audioconvert", "!"),
        *(aac_encoder() or "voaacenc", "!", "aacparse", "!", "queue", "!", "mux."),
    ]


class NginxRelay(Encoder):
    """nginx-rtmp that takes a push and passes it on (`push`), as relays in front of a recorder do."""

    def __init__(self, directory: Path, port: int, target: str) -> None:
        module = nginx_rtmp_module()
        program = nginx()
        assert program is not None
        assert module is not None
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "nginx.conf"
        config.write_text(
            f"load_module {module};\n"
            f"daemon off;\nmaster_process off;\npid {directory}/nginx.pid;\nerror_log {directory}/error.log info;\n"
            "events { worker_connections 64; }\n"
            f"rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096;\n"
            f"  application live {{ live on; push {target}; }} }} }}\n"
        )
        super().__init__([program, "-p", str(directory), "-c", str(config)], directory / "output")
        deadline = time.monotonic() + 60
        while not listening(port):
            assert self.running and time.monotonic() < deadline, self.output
            time.sleep(0.05)
