"""How fast START and STOP are answered while many streams are live, and how fast recordings are listed.

    python -m bench.control [--streams 500] [--rate 50] [--seconds 20] [--files 100000]

A real `livereel serve` takes pushes of 180p30 H.264 and AAC (the bit rate is printed). Half the
commands are START, half are STOP of what was started two seconds before; each is signed and sent on a connection of its
own. START is answered when the key frame is on disk. Aims: p99 below 100 ms, a listing below 50 ms.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import contents
from bench.ingest.load import Missing, build_pusher, write_script
from bench.serving import serve
from livereel.catalogue.engine import open_catalogue
from livereel.testing.api_client import ApiClient
from livereel.testing.source import generate_tags

DOMAIN = "publish.livereel.internal"
RECORDED_SECONDS = 2.0
VIDEO_BITRATE = 250_000
LISTINGS = 50


def commands(options: argparse.Namespace) -> None:
    """START and STOP against live streams."""
    with tempfile.TemporaryDirectory(prefix="livereel-bench-") as temporary:
        work = Path(temporary)
        ramp = max(2.0, options.streams / 50)
        seconds = options.seconds + ramp + 15
        # Real media, since recordings are read again.
        media = generate_tags(seconds, bitrate=VIDEO_BITRATE)
        script = write_script(work / "script", media, seconds, 4096)
        pusher = build_pusher(work)
        with serve(work / "data") as served:
            push = [str(pusher), str(script.path), "127.0.0.1", str(served.rtmp_port)]
            push += [str(options.streams), str(int(ramp * 1000))]
            with subprocess.Popen(push, stdout=subprocess.DEVNULL) as load:
                try:
                    _create_template(served.client)
                    _wait_live(served.client, options.streams)
                    before, begun = served.cpu_seconds(), time.monotonic()
                    took = _drive(served.client, options)
                    share = (served.cpu_seconds() - before) / (time.monotonic() - begun)
                finally:
                    load.kill()
    print(f"{options.streams} live streams of {script.megabits:.2f} Mbit/s, {options.rate} commands a second")
    print(f"{'':8}{'count':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    for action, times in took.items():
        times.sort()
        p99 = times[max(0, int(len(times) * 0.99) - 1)]
        print(f"{action:8}{len(times):>8}{statistics.median(times):>10.1f}{p99:>10.1f}{times[-1]:>10.1f}")
    print(f"server process: {share:.2f} of a core")


def _create_template(client: ApiClient) -> None:
    config = {
        "record_format": ["FLV"],
        "obs_addr": {"bucket": "recordings", "location": "here", "object": ""},
        "flv_config": {"record_cycle": 3600},
    }
    rule = {"publish_domain": DOMAIN, "app": "live", "stream": "*", "record_type": "COMMAND_RECORD"}
    client.live("POST", "record/rules", body=rule | {"default_record_config": config})


def _wait_live(client: ApiClient, streams: int) -> None:
    while client.live("GET", "realtime/streams", {"publish_domain": DOMAIN})["total_num"] < streams:
        time.sleep(0.2)
    time.sleep(3)  # every stream has sent a key frame


def _drive(client: ApiClient, options: argparse.Namespace) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"START": [], "STOP": []}

    def command(action: str, number: int) -> None:
        body = {"publish_domain": DOMAIN, "app": "live", "stream": f"bench{number:05}"}
        begun = time.perf_counter()
        client.live("POST", "record/control", {"action": action}, body)
        took[action].append((time.perf_counter() - begun) * 1000)

    begun = time.monotonic()
    with ThreadPoolExecutor(64) as pool:
        sent = []
        due: list[tuple[float, str, int]] = []
        for number in range(min(options.streams, int(options.rate / 2 * options.seconds))):
            at = number / (options.rate / 2)
            due += [(at, "START", number), (at + RECORDED_SECONDS, "STOP", number)]
        for at, action, number in sorted(due):
            time.sleep(max(0.0, begun + at - time.monotonic()))
            sent.append(pool.submit(command, action, number))
        for each in sent:
            each.result()
    return took


def listing(options: argparse.Namespace) -> None:
    """record/contents with many recordings."""
    with tempfile.TemporaryDirectory(prefix="livereel-bench-") as temporary:
        data = Path(temporary)
        with serve(data) as served:
            project = served.client.project_id
            contents.PROJECT = project
            asyncio.run(_fill(data, options.files))
            queries = {
                "first page": {"start_time": "1970-01-01T00:00:00Z", "limit": "10"},
                "100 of one stream": {
                    "start_time": "1970-01-01T00:00:00Z",
                    "limit": "100",
                    "publish_domain": contents.DOMAIN,
                    "app": "live",
                    "stream": "cam0007",
                },
            }
            print(f"{options.files} recordings")
            for name, query in queries.items():
                times = [
                    _timed(lambda query=query: served.client.live("GET", "record/contents", query))
                    for _ in range(LISTINGS)
                ]
                times.sort()
                print(f"{name:24}p50 {statistics.median(times):6.1f} ms   p99 {times[-1]:6.1f} ms")


async def _fill(data: Path, files: int) -> None:
    catalogue = await open_catalogue(f"sqlite:///{data / 'catalogue.db'}")
    try:
        await contents.fill(catalogue, files)
    finally:
        await catalogue.close()


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rate", type=int, default=50, help="START and STOP a second, together")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--files", type=int, default=100_000)
    options = parser.parse_args()
    try:
        commands(options)
    except Missing as missing:
        print(f"this bench needs {missing}", file=sys.stderr)
        return 2
    if options.files:
        listing(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
