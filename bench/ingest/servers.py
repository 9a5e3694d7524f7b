"""The servers under test: started, measured and stopped the same way."""

import contextlib
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.ingest.load import APP, Missing
from livereel.domain.media import TAG_AUDIO, TAG_VIDEO
from livereel.flv.codecs import is_sequence_header
from livereel.flv.tags import FLV_HEADER, TAG_HEADER_SIZE, TAG_OVERHEAD

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


@dataclass(slots=True)
class Running:
    """A server that listens on `port` and records below `directory`."""

    name: str
    port: int
    directory: Path
    pids: list[int]
    report: dict[str, object] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """User and system time so far, all processes and threads."""
        total = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def resident_bytes(self) -> int:
        """Resident memory, all processes."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE for pid in self.pids)


@contextlib.contextmanager
def livereel(directory: Path, *options: str) -> Iterator[Running]:
    """Our ingest and spool. After the block, `report` holds what the process said at its end."""
    command = [sys.executable, "-m", "bench.ingest.server", "--directory", str(directory), *options]
    environment = {"LIVEREEL_DEMUXER": "python", **os.environ}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            running = Running("livereel", int(process.stdout.readline()), directory, [process.pid])
            yield running
            process.send_signal(signal.SIGTERM)
            running.report = json.loads(process.stdout.readline())
        finally:
            process.terminate()


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[Running]:
    """nginx with the RTMP module, one worker, `record all`. Raises Missing."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None or not NGINX_MODULE.exists():
        raise Missing("nginx with its RTMP module: apt-get install nginx-light libnginx-mod-rtmp")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / "nginx.conf"
    config.write_text(_NGINX_CONF.format(module=NGINX_MODULE, directory=directory, port=port, app=APP))
    directory.chmod(0o777)
    command = [binary, "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            workers = _wait_for_children(process.pid)
            _wait_for_port(port)
            yield Running("nginx-rtmp", port, directory, workers)
        finally:
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.terminate()


_NGINX_CONF = """\
load_module {module};
user root;
worker_processes 1;
worker_rlimit_nofile 8192;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ worker_connections 4096; }}
rtmp {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        chunk_size 4096;
        application {app} {{
            live on;
            record all;
            record_path {directory};
        }}
    }}
}}
"""


def count_tags(directory: Path) -> dict[str, tuple[int, int]]:
    """Video and audio frames (headers not counted) of each recording below `directory`, by its name."""
    counts: dict[str, tuple[int, int]] = {}
    for path in sorted(directory.rglob("*.flv")):
        name = path.parent.name if path.parent != directory else path.stem
        video, audio = _count(path)
        before = counts.get(name, (0, 0))
        counts[name] = (before[0] + video, before[1] + audio)
    return counts


def _count(path: Path) -> tuple[int, int]:
    if path.stat().st_size == 0:
        return 0, 0
    video = audio = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = len(FLV_HEADER)
        while position + TAG_OVERHEAD <= len(data):
            kind, size = data[position], int.from_bytes(data[position + 1 : position + 4])
            if position + TAG_OVERHEAD + size > len(data):
                break
            start = position + TAG_HEADER_SIZE
            if not is_sequence_header(kind, data[start : start + 8]):
                video += kind == TAG_VIDEO
                audio += kind == TAG_AUDIO
            position += TAG_OVERHEAD + size
    return video, audio


def _wait_for_children(pid: int) -> list[int]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return [int(child) for child in children]
        time.sleep(0.05)
    raise TimeoutError("nginx started no worker")


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
