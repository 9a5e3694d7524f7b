"""How long after STOP an application hears RECORD_FILE_COMPLETE, against how long the recording was.

    python -m bench.finish [--rounds 3] [--hours 6] [--streams 20] [--hours-of-many 1] [--local]

A real `livereel serve` records FLV, MP4 and HLS into a real SeaweedFS (with --local into a directory). Media are fed
faster than they play, with the timestamps of so many hours. STOP is sent when the recorder and the store have caught
up, as they have at any moment of a live stream. Measured is the time from sending STOP to the arrival of each callback
at a receiver, over all files of a case. Aim: p95 below 2 s, whatever the length.

Short and long recordings take turns, alone and many at once: the long ones are fed first and stay open. Before each
STOP the files of the one before have been verified. With each case goes the CPU time that was spent from its first
STOP to its last callback. First of all the store alone is given as much as is left after a STOP of many long ones.
"""

import argparse
import asyncio
import itertools
import json
import re
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.serving import Served, cpu_seconds, serve
from livereel.domain.media import TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.codecs import is_sequence_header
from livereel.storage.config import BucketConfig
from livereel.storage.multipart import GROWING_PART_SIZE
from livereel.storage.object_store import ObjectStore
from livereel.testing.rtmp_client import PublisherBytes
from livereel.testing.source import generate_tags
from tests.integration.storage.seaweed import ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed

DOMAIN = "publish.livereel.internal"
LOOP_SECONDS = 4  # of media that are repeated
FPS = 5  # of a picture and no sound: few packets, so that six hours of many streams can be fed at all
FORMATS = ("FLV", "MP4", "HLS")
SHORT_SECONDS, SHORT_MEGABYTES = 12, 3.3  # a camera of 2.2 Mbit/s
SLICE_SECONDS = 60  # few of them, for the same reason
CAUGHT_UP = 6_000_000  # bytes that are under way at any moment: all streams are fed a little, and parts are complete
ALIVE = 20.0  # seconds; a push that is silent for 30 s is ended
PATIENCE = 600.0  # seconds for what is to come at all


@dataclass
class Told:
    """A receiver of callbacks that notes when they came."""

    arrived: dict[tuple[str, str], float] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)
    url: str = ""

    def start(self) -> None:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                now = time.monotonic()
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                what = message.get("record_format") if message["event_type"] == "RECORD_FILE_COMPLETE" else "OVER"
                told.sizes[message["stream"], what] = int(message.get("file_size") or 0)
                told.arrived.setdefault((message["stream"], what), now)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def wait(self, stream: str, what: str) -> float:
        """When a callback came."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.arrived.get((stream, what))) is None:
            assert time.monotonic() < deadline, f"no {what} of {stream}"
            time.sleep(0.02)
        return at


class Feed:
    """The same seconds of media over and over, as bytes of RTMP; `padding` bytes go into every picture."""

    def __init__(self, port: int, stream: str, tags: list[Tag], padding: int) -> None:
        self.stream = stream
        self._bytes = PublisherBytes("live", stream, chunk_size=65536)
        self._headers = [tag for tag in tags if tag.kind == TAG_SCRIPT or is_sequence_header(tag.kind, tag.payload)]
        # A NAL unit that decoders skip (ITU-T H.264, 7.3.2.7).
        filler = (padding + 2).to_bytes(4, "big") + b"\x0c" + b"\xff" * padding + b"\x80"
        self._media = [
            tag._replace(payload=tag.payload + filler) if tag.kind == TAG_VIDEO else tag
            for tag in tags
            if tag not in self._headers
        ]
        self._at = 0
        self._lock = threading.Lock()
        self._sent_at = time.monotonic()
        self._socket = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=self._read, daemon=True).start()
        self._socket.sendall(self._bytes.opening())
        time.sleep(0.2)
        self._socket.sendall(self._bytes.media(self._headers))

    def loops(self, number: int) -> None:
        """Send so many times LOOP_SECONDS."""
        for _ in range(number):
            with self._lock:
                tags = [tag._replace(timestamp=tag.timestamp + self._at) for tag in self._media]
                self._socket.sendall(self._bytes.media(tags))
                self._at += LOOP_SECONDS * 1000
                self._sent_at = time.monotonic()

    def keep_alive(self) -> None:
        """Go on a little, if nothing was sent for a while."""
        if time.monotonic() - self._sent_at > ALIVE:
            self.loops(1)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        try:
            while self._socket.recv(65536):
                pass
        except OSError:
            return


class Bench:
    """Recordings of one server."""

    def __init__(self, served: Served, told: Told, store: Seaweed | None) -> None:
        self._served, self._told, self._store = served, told, store
        self._numbers = itertools.count(1)
        self._tags = generate_tags(LOOP_SECONDS, fps=FPS, size=(160, 90), bitrate=40_000, audio=None)
        self._open: set[Feed] = set()
        self._lock = threading.Lock()
        self._took: defaultdict[str, list[float]] = defaultdict(list)
        self._sizes: defaultdict[str, list[float]] = defaultdict(list)
        self._cpu: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def prepare(self) -> None:
        common = {"record_cycle": 43200}
        self._served.client.live(
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
                    "hls_config": common | {"record_slice_duration": SLICE_SECONDS},
                },
            },
        )
        self._served.client.live(
            "POST",
            "record/callbacks",
            body={
                "publish_domain": DOMAIN,
                "app": "*",
                "notify_callback_url": self._told.url,
                "notify_event_subscription": ["RECORD_FILE_COMPLETE", "RECORD_OVER"],
            },
        )

    def record(self, number: int, seconds: float, megabytes: float) -> list[Feed]:
        """Begin recordings and feed them; `megabytes` is the size of each file."""
        loops = max(1, round(seconds / LOOP_SECONDS))
        media = sum(len(tag.payload) for tag in self._tags)
        padding = max(0, int((megabytes * 1e6 / loops - media) / (LOOP_SECONDS * FPS)))
        feeds = [
            Feed(self._served.rtmp_port, f"bench{next(self._numbers):04}", self._tags, padding) for _ in range(number)
        ]
        with ThreadPoolExecutor(max(1, number)) as pool:
            list(pool.map(lambda feed: feed.loops(1), feeds))
            list(pool.map(lambda feed: self._command("START", feed.stream), feeds))
            list(pool.map(lambda feed: feed.loops(loops - 1), feeds))
        with self._lock:
            self._open.update(feeds)
        return feeds

    def stop(self, case: str, feeds: list[Feed]) -> None:
        """STOP these recordings, all at once."""
        self._wait_caught_up()
        processes = self._processes()
        before = {name: cpu_seconds(*pids) for name, pids in processes.items()}
        with ThreadPoolExecutor(len(feeds)) as pool:
            stopped = dict(zip(feeds, pool.map(self._stop, feeds), strict=True))
        for feed, record_format in itertools.product(feeds, FORMATS):
            self._took[case].append(self._told.wait(feed.stream, record_format) - stopped[feed])
            self._sizes[case].append(self._told.sizes[feed.stream, record_format] / 1e6)
        self._cpu[case].append({name: cpu_seconds(*pids) - before[name] for name, pids in processes.items()})
        for feed in feeds:
            self._told.wait(feed.stream, "OVER")
            with self._lock:
                self._open.discard(feed)
            feed.close()

    def report(self) -> None:
        """A line per case."""
        names = list(self._processes())
        print("STOP to RECORD_FILE_COMPLETE, seconds")
        print(f"{'case':>14} {'files':>5} {'MB':>6} {'p50':>6} {'p95':>6} {'max':>6}   CPU s: {', '.join(names)}")
        for case, times in self._took.items():
            times.sort()
            p95 = times[min(len(times) - 1, int(len(times) * 0.95))]
            cpu = ", ".join(f"{statistics.median(each[name] for each in self._cpu[case]):.2f}" for name in names)
            size, p50 = statistics.mean(self._sizes[case]), statistics.median(times)
            print(f"{case:>14} {len(times):>5} {size:>6.1f} {p50:>6.2f} {p95:>6.2f} {times[-1]:>6.2f}   {cpu}")

    def _processes(self) -> dict[str, list[int]]:
        processes = {
            "server": [self._served.pid],
            "recorders": self._served.workers("livereel.recorder.worker"),
            "verifiers": self._served.workers("livereel.verify.worker"),
        }
        if self._store is not None and self._store.pid is not None:
            processes["store"] = [self._store.pid]
        return processes

    def _keep_alive(self) -> None:
        while True:
            time.sleep(1)
            with self._lock:
                feeds = list(self._open)
            for feed in feeds:
                try:
                    feed.keep_alive()
                except OSError:  # closed meanwhile
                    continue

    def _stop(self, feed: Feed) -> float:
        sent = time.monotonic()
        self._command("STOP", feed.stream)
        return sent

    def _command(self, action: str, stream: str) -> None:
        body = {"publish_domain": DOMAIN, "app": "live", "stream": stream}
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._served.client.live("POST", "record/control", {"action": action}, body)
            except Exception:
                if action == "STOP" or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def _wait_caught_up(self) -> None:
        """Little is unread in the spools and nothing waits for the store, for longer than reports take."""
        quiet, deadline = 0, time.monotonic() + PATIENCE
        for look in itertools.count(1):
            if quiet == 11:
                return
            assert time.monotonic() < deadline, "the server does not catch up"
            time.sleep(0.5)
            with urllib.request.urlopen(f"{self._served.api}/metrics") as answer:
                text = answer.read().decode()
            lines = [
                line
                for line in text.splitlines()
                if re.match(r"livereel_(recorder_lag|spool_backlog|upload_backlog)_bytes", line)
            ]
            idle = all(float(line.split()[-1]) < CAUGHT_UP for line in lines)
            quiet = quiet + 1 if idle else 0
            if look % 20 == 0:
                print("not caught up:", ", ".join(line.removeprefix("livereel_") for line in lines), file=sys.stderr)


def alone(store: Seaweed, files: int) -> str:
    """How long the store takes for as much as is left after STOP of many long recordings, on average."""
    credentials = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    bucket = ObjectStore("recordings", BucketConfig(f"s3://{BUCKET}", store.endpoint, credentials=credentials))
    assert bucket.parts is not None
    parts, data = bucket.parts, bytes(GROWING_PART_SIZE)

    async def some(number: int, turns: asyncio.Semaphore) -> None:
        key = f"alone/{number}"
        upload = await parts.begin(key)
        async with turns:
            first = await parts.put(key, upload, 1, data)
            last = await parts.put(key, upload, 2, data[: GROWING_PART_SIZE // 2])
        await parts.complete(key, upload, [first, last])

    async def all_of_them() -> None:
        turns = asyncio.Semaphore(4)
        await asyncio.gather(*(some(number, turns) for number in range(files)))

    begun = time.monotonic()
    spent = cpu_seconds(*([] if store.pid is None else [store.pid]))
    asyncio.run(all_of_them())
    took = time.monotonic() - begun
    spent = cpu_seconds(*([] if store.pid is None else [store.pid])) - spent
    megabytes = files * 1.5 * GROWING_PART_SIZE / 1e6
    return f"the store alone, {megabytes:.0f} MB in {files} files: {took:.2f} s, {spent:.2f} s of CPU"


def run(options: argparse.Namespace, work: Path, store: Seaweed | None, told: Told) -> None:
    settings = work / "livereel.toml"
    settings.touch()
    if store is not None:
        credentials = work / "store.toml"
        credentials.write_text(f'access_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n')
        credentials.chmod(0o600)
        settings.write_text(
            f'[storage.buckets.recordings]\nurl = "s3://{BUCKET}"\nendpoint = "{store.endpoint}"\n'
            f'credentials_file = "{credentials}"\n'
        )
        print(alone(store, options.streams * 2), flush=True)
    environment = {"LIVEREEL_CONFIG": str(settings), "LIVEREEL_CALLBACKS__ALLOW_PRIVATE": "127.0.0.1"}
    with serve(work / "data", environment) as served:
        bench = Bench(served, told, store)
        bench.prepare()
        begun = time.monotonic()
        seconds = options.hours * 3600
        singles = [bench.record(1, seconds, options.megabytes) for _ in range(options.rounds)] if seconds else []
        hours = options.hours_of_many if options.streams else 0.0
        many = bench.record(options.streams, hours * 3600, options.megabytes_of_many) if hours else []
        print(f"fed in {time.monotonic() - begun:.0f} s", flush=True)
        try:
            for turn in range(options.rounds):
                bench.stop("10 s", bench.record(1, SHORT_SECONDS, SHORT_MEGABYTES))
                if singles:
                    bench.stop(f"{options.hours:g} h", singles[turn])
            if options.streams:
                for turn in range(2):
                    short = bench.record(options.streams, SHORT_SECONDS, SHORT_MEGABYTES)
                    bench.stop(f"{options.streams} of 10 s", short)
                    if many and not turn:
                        bench.stop(f"{options.streams} of {hours:g} h", many)
        finally:  # also of a run that was cut short
            bench.report()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.finish", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="of one recording at a time")
    parser.add_argument("--hours", type=float, default=6.0, help="of the long ones; 0 leaves them out")
    parser.add_argument("--megabytes", type=float, default=330.0, help="of each file of a long one")
    parser.add_argument("--hours-of-many", type=float, default=1.0, help="of many long ones at once; 0: none")
    parser.add_argument("--megabytes-of-many", type=float, default=18.0, help="the same, of many at once")
    parser.add_argument("--streams", type=int, default=20, help="at once; 0 leaves that out")
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
            run(options, work, store, told)
        finally:
            if store is not None:
                store.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
