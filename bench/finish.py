"""How long after STOP an application hears RECORD_FILE_COMPLETE, against how long the recording was.

    python -m bench.finish [--rounds 5] [--hours 6] [--gigabytes 3] [--streams 20] [--local]

A real `livereel serve` records FLV, MP4 and HLS into a real SeaweedFS (with --local into a directory). Media are fed
faster than they play: timestamps over 6 hours at a low bit rate, and 3 GB at a high one. STOP is sent when the recorder
and the store have caught up, as they have at any moment of a live stream. Measured is the time from sending STOP to the
arrival of each callback at a receiver. Aim: p95 below 2 s, whatever the length.
"""

import argparse
import itertools
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from livereel.domain.media import TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.codecs import is_sequence_header
from livereel.testing.api_client import ApiClient
from livereel.testing.rtmp_client import PublisherBytes
from livereel.testing.source import generate_tags
from tests.integration.storage.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed

DOMAIN = "publish.livereel.internal"
LOOP_SECONDS = 4  # of media that are repeated
FORMATS = ("FLV", "MP4", "HLS")
CAUGHT_UP = 4_000_000  # bytes of a stream that are under way at any moment
PATIENCE = 600.0  # seconds for what is to come at all


@dataclass
class Told:
    """A receiver of callbacks that notes when they came."""

    arrived: dict[tuple[str, str], float] = field(default_factory=dict)
    url: str = ""

    def start(self) -> None:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                now = time.monotonic()
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if message["event_type"] == "RECORD_FILE_COMPLETE":
                    told.arrived.setdefault((message["stream"], message["record_format"]), now)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Feed:
    """The same seconds of media over and over, as bytes of RTMP."""

    def __init__(self, port: int, stream: str, tags: list[Tag], padding: int) -> None:
        self._bytes = PublisherBytes("live", stream, chunk_size=65536)
        self._headers = [tag for tag in tags if tag.kind == TAG_SCRIPT or is_sequence_header(tag.kind, tag.payload)]
        filler = b""
        if padding:  # a NAL unit that decoders skip (ITU-T H.264, 7.3.2.7)
            filler = (padding + 2).to_bytes(4, "big") + b"\x0c" + b"\xff" * padding + b"\x80"
        self._media = [
            tag._replace(payload=tag.payload + filler) if tag.kind == TAG_VIDEO else tag
            for tag in tags
            if tag not in self._headers
        ]
        self._at = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=self._read, daemon=True).start()
        self._socket.sendall(self._bytes.opening())
        time.sleep(0.5)
        self._socket.sendall(self._bytes.media(self._headers))

    def loops(self, number: int) -> None:
        """Send so many times LOOP_SECONDS."""
        for _ in range(number):
            tags = [tag._replace(timestamp=tag.timestamp + self._at) for tag in self._media]
            self._socket.sendall(self._bytes.media(tags))
            self._at += LOOP_SECONDS * 1000

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        try:
            while self._socket.recv(65536):
                pass
        except OSError:
            return


@contextmanager
def serve(directory: Path, store: Seaweed | None) -> Iterator[tuple[int, ApiClient]]:
    """A server whose bucket `recordings` is in the store, or a directory; gives its RTMP port and a client."""
    settings = directory / "livereel.toml"
    if store is not None:
        credentials = directory / "store.toml"
        credentials.write_text(f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n')
        credentials.chmod(0o600)
        settings.write_text(
            f'[storage.buckets.recordings]\nurl = "s3://{BUCKET}"\nendpoint = "{store.endpoint}"\n'
            f'credentials_file = "{credentials}"\n'
        )
    else:
        settings.touch()
    environment = os.environ | {
        "LIVEREEL_CONFIG": str(settings),
        "LIVEREEL_DATA_DIR": str(directory / "data"),
        "LIVEREEL_RTMP__PORT": "0",
        "LIVEREEL_API__PORT": "0",
        "LIVEREEL_API__RATE_LIMITS": "false",
        "LIVEREEL_CALLBACKS__ALLOW_PRIVATE": "127.0.0.1",
        "LIVEREEL_LOG__LEVEL": os.environ.get("LIVEREEL_LOG__LEVEL", "warning"),
        "LIVEREEL_STOP_GRACE": "0",
    }
    command = [sys.executable, "-m", "livereel", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = ""
        while "Another one" not in said and (line := process.stdout.readline()):
            said += line
        threading.Thread(target=process.stdout.read, daemon=True).start()
        patterns = (r"rtmp://[^:]+:(\d+)/", r"API at\s+(\S+)", r"AK\s+(\S+)", r"SK\s+(\S+)", r"project\s+(\S+)")
        port, api, access, secret, project = (
            found[1] for pattern in patterns if (found := re.search(pattern, said)) is not None
        )
        try:
            client = ApiClient(api, access, secret, project)
            client.api = api  # type: ignore[attr-defined]  for the metrics
            yield int(port), client
        finally:
            process.send_signal(signal.SIGTERM)


class Bench:
    """Recordings of one server, one case after the other."""

    def __init__(self, port: int, client: ApiClient, told: Told) -> None:
        self._port, self._client, self._told = port, client, told
        self._numbers = itertools.count(1)
        self._tags = generate_tags(LOOP_SECONDS, size=(160, 90), bitrate=40_000, channels=1)

    def prepare(self) -> None:
        common = {"record_cycle": 43200}
        self._client.live(
            "POST",
            "record/rules",
            body={
                "publish_domain": DOMAIN,
                "app": "live",
                "stream": "*",
                "record_type": "COMMAND_RECORD",
                "default_record_config": {
                    "record_format": list(FORMATS),
                    "obs_addr": {"bucket": "recordings", "location": "here", "object": ""},
                    "flv_config": common,
                    "mp4_config": common,
                    "hls_config": common | {"record_slice_duration": 10},
                },
            },
        )
        self._client.live(
            "POST",
            "record/callbacks",
            body={
                "publish_domain": DOMAIN,
                "app": "*",
                "notify_callback_url": self._told.url,
                "notify_event_subscription": ["RECORD_FILE_COMPLETE"],
            },
        )

    def run(self, name: str, *, loops: int, padding: int = 0, streams: int = 1, rounds: int = 1) -> None:
        """Record `streams` at once, `rounds` times, and print a line per format."""
        took: dict[str, list[float]] = {record_format: [] for record_format in FORMATS}
        begun = time.monotonic()
        for _ in range(rounds):
            names = [f"bench{next(self._numbers):04}" for _ in range(streams)]
            feeds = [Feed(self._port, each, self._tags, padding) for each in names]
            for feed in feeds:
                feed.loops(1)
            with ThreadPoolExecutor(streams) as pool:
                list(pool.map(lambda each: self._command("START", each), names))
                list(pool.map(lambda feed: feed.loops(loops), feeds))
                self._wait_caught_up(feeds)
                stopped = dict(zip(names, pool.map(self._stop, names), strict=True))
            for each, record_format in itertools.product(names, FORMATS):
                took[record_format].append(self._arrival(each, record_format) - stopped[each])
            for feed in feeds:
                feed.close()
        fed = time.monotonic() - begun
        for record_format, times in took.items():
            times.sort()
            p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
            print(
                f"{name:>14} {record_format:>4} {len(times):>4} {statistics.median(times):>8.2f} {p95:>8.2f} "
                f"{times[-1]:>8.2f}   ({fed:.0f} s in all)",
                flush=True,
            )

    def _stop(self, stream: str) -> float:
        sent = time.monotonic()
        self._command("STOP", stream)
        return sent

    def _command(self, action: str, stream: str) -> None:
        body = {"publish_domain": DOMAIN, "app": "live", "stream": stream}
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._client.live("POST", "record/control", {"action": action}, body)
            except Exception:
                if action == "STOP" or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def _wait_caught_up(self, feeds: list[Feed]) -> None:
        """Little is unread in the spools and nothing waits for the store, for longer than reports take."""
        quiet, deadline = 0, time.monotonic() + PATIENCE
        for look in itertools.count(1):
            assert time.monotonic() < deadline, "the server does not catch up"
            time.sleep(0.5)
            for feed in feeds if look % 20 == 0 else ():
                feed.loops(1)  # a push that is silent for 30 s is ended
            with urllib.request.urlopen(f"{self._client.api}/metrics") as answer:  # type: ignore[attr-defined]
                text = answer.read().decode()
            lines = [
                line
                for line in text.splitlines()
                if re.match(r"livereel_(recorder_lag|spool_backlog|upload_backlog)_", line)
            ]
            idle = all(float(line.split()[-1]) < CAUGHT_UP * len(feeds) for line in lines)
            quiet = quiet + 1 if idle else 0
            if quiet == 12:
                return

    def _arrival(self, stream: str, record_format: str) -> float:
        deadline = time.monotonic() + PATIENCE
        while (at := self._told.arrived.get((stream, record_format))) is None:
            assert time.monotonic() < deadline, f"no {record_format} of {stream}"
            time.sleep(0.02)
        return at


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.finish", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of the short case")
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--local", action="store_true", help="record into a directory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else server and store would outlive this
    told = Told()
    told.start()
    with tempfile.TemporaryDirectory(prefix="livereel-bench-") as temporary:
        work = Path(temporary)
        store = None if options.local else Seaweed(work / "seaweed", volumes=80)
        try:
            if store is not None:
                store.start()
                store.create_bucket(BUCKET)
            with serve(work, store) as (port, client):
                bench = Bench(port, client, told)
                bench.prepare()
                print("STOP to RECORD_FILE_COMPLETE, seconds")
                print(f"{'case':>14} {'':>4} {'n':>4} {'p50':>8} {'p95':>8} {'max':>8}")
                bench.run("10 s", loops=2, rounds=options.rounds)
                if options.streams:
                    bench.run(f"{options.streams} at once", loops=7, padding=20_000, streams=options.streams)
                if options.hours:
                    bench.run(f"{options.hours:g} h", loops=int(options.hours * 3600 / LOOP_SECONDS))
                if options.gigabytes:
                    frames = 120 * int(60 / LOOP_SECONDS) * 20
                    bench.run(
                        f"{options.gigabytes:g} GB",
                        loops=int(60 / LOOP_SECONDS) * 20,
                        padding=int(options.gigabytes * 1e9 / frames),
                    )
        finally:
            if store is not None:
                store.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
