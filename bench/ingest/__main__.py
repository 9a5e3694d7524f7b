"""`python -m bench.ingest`: CPU time and memory per recorded stream, livereel and nginx-rtmp in turns.

Every stream is 2.66 Mbit/s of 720p30 H.264 and AAC, one write per message, at real pace, over loopback. CPU time is
user and system time of the server's processes while all streams run; the kernel's own threads are in neither. KB per
stream is resident memory with all streams, less that of the idle server. A recording counts as complete when it holds
every frame that was sent.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.ingest.load import Missing, Script, build_pusher, noise, write_script
from bench.ingest.servers import Running, count_tags, livereel, nginx

SETTLE_SECONDS = 1.0
Server = Callable[[Path], AbstractContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Result:
    """One run. `cpu_ms` is per stream and second, `kilobytes` per stream."""

    cpu_ms: float
    kilobytes: float
    complete: int
    streams: int
    worst_lag_ms: float
    long_slices: float | None
    loop_delay_ms: float | None
    fsync_ms: float | None


def run(server: Server, pusher: Path, script: Script, streams: int, directory: Path) -> Result:
    """Push `streams` streams at once to a fresh server and measure it."""
    ramp = max(1.0, streams / 100)
    directory.mkdir()
    try:
        with server(directory) as running:
            idle = running.resident_bytes()
            command = [
                str(pusher),
                str(script.path),
                "127.0.0.1",
                str(running.port),
                str(streams),
                str(int(ramp * 1000)),
            ]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
                time.sleep(ramp + SETTLE_SECONDS)
                before, begun = running.cpu_seconds(), time.monotonic()
                time.sleep(max(script.seconds - ramp - 2 * SETTLE_SECONDS, 1.0))
                spent, passed = running.cpu_seconds() - before, time.monotonic() - begun
                resident = running.resident_bytes()
                output, _ = load.communicate()
            pushed = json.loads(output)
        time.sleep(SETTLE_SECONDS / 2)
        counts = count_tags(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    complete = sum(count == (script.video, script.audio) for count in counts.values())
    return Result(
        cpu_ms=spent / passed / streams * 1000,
        kilobytes=(resident - idle) / streams / 1024,
        complete=complete,
        streams=streams,
        worst_lag_ms=pushed["worst_lag_ms"],
        long_slices=_long_slices(running.report),
        loop_delay_ms=_number(running.report, "loop_delay_ms"),
        fsync_ms=_number(running.report, "fsync_ms"),
    )


def _long_slices(report: dict[str, object]) -> float | None:
    """Slices in which the pump held the loop for more than 10 ms, of 1000."""
    slices = report.get("slices")
    if not isinstance(slices, dict) or not slices["+Inf"]:
        return None
    return 1000 * (1 - slices["0.01"] / slices["+Inf"])


def _number(report: dict[str, object], name: str) -> float | None:
    value = report.get(name)
    return float(value) if isinstance(value, int | float) else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", default="50,200", help="how many at once, e.g. 50,200")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each stream")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each server, taken in turns")
    parser.add_argument("--chunk", type=int, default=4096, help="RTMP chunk size of the senders")
    parser.add_argument("--directory", type=Path, help="where to record (default: a temporary directory)")
    parser.add_argument("--variants", action="store_true", help="compare ways of reading instead of servers")
    parser.add_argument(
        "--fsync-interval", help="compare intervals of the spool's fsync instead of servers, e.g. off,1,0.2"
    )
    options = parser.parse_args()
    servers: dict[str, Server] = {
        "nginx-rtmp": nginx,
        "livereel": livereel,
        # nginx-rtmp leaves it to the kernel when a recording reaches the disk.
        "livereel, no fsync": partial(_variant, ("--fsync-interval", "off")),
    }
    if options.variants:
        servers = {name: partial(_variant, arguments) for name, arguments in VARIANTS.items()}

    if options.fsync_interval:
        intervals = options.fsync_interval.split(",")
        servers = {f"fsync {interval}": partial(_variant, ("--fsync-interval", interval)) for interval in intervals}

    with tempfile.TemporaryDirectory(prefix="livereel-bench-", dir=options.directory) as temporary:
        work = Path(temporary)
        try:
            pusher = build_pusher(work)
            script = write_script(work / "script", noise(options.seconds), options.seconds, options.chunk)
            print(f"{script.megabits:.2f} Mbit/s a stream, {options.seconds:.0f} s, chunk size {options.chunk}")
            for streams in (int(number) for number in options.streams.split(",")):
                results: dict[str, list[Result]] = {name: [] for name in servers}
                for turn in range(options.repeat):
                    for name, server in servers.items():
                        results[name].append(run(server, pusher, script, streams, work / f"{name}-{turn}"))
                _print(streams, results)
        except Missing as missing:
            print(f"this bench needs {missing}", file=sys.stderr)
            return 2
    return 0


VARIANTS = {
    "every packet": ("--sweep", "60", "--low-water", "1"),
    "mark 128 KiB, 1 s": ("--sweep", "1.0", "--low-water", "131072"),
    "sweep 0.1 s": ("--sweep", "0.1", "--low-water", "0"),
    "sweep 0.3 s": ("--sweep", "0.3", "--low-water", "0"),
    "both 0.3 s": ("--sweep", "0.3"),
    "both 0.5 s": ("--sweep", "0.5"),
}


def _variant(arguments: tuple[str, ...], directory: Path) -> AbstractContextManager[Running]:
    return livereel(directory, *arguments)


def _print(streams: int, results: dict[str, list[Result]]) -> None:
    print(f"\n{streams} streams, medians of {len(next(iter(results.values())))}")
    print(
        f"{'':20}{'CPU ms / stream s':>20}{'KB / stream':>14}{'complete':>12}{'worst lag ms':>14}{'>10 ms of 1000':>16}"
        f"{'loop p95 ms':>13}{'fsync ms':>10}"
    )
    medians = {name: statistics.median(result.cpu_ms for result in runs) for name, runs in results.items()}
    for name, runs in results.items():
        kilobytes = statistics.median(result.kilobytes for result in runs)
        complete = f"{min(result.complete for result in runs)}/{streams}"
        lag = max(result.worst_lag_ms for result in runs)
        held = [result.long_slices for result in runs if result.long_slices is not None]
        slices = f"{max(held):.1f}" if held else "-"
        delay, fsync = (_median(runs, of) for of in ("loop_delay_ms", "fsync_ms"))
        print(
            f"{name:20}{medians[name]:>20.3f}{kilobytes:>14.1f}{complete:>12}{lag:>14.1f}{slices:>16}"
            f"{delay:>13}{fsync:>10}"
        )
    if other := medians.pop("nginx-rtmp", 0.0):
        print(", ".join(f"{name} / nginx-rtmp: {median / other:.2f}" for name, median in medians.items()))
    sys.stdout.flush()


def _median(runs: list[Result], of: str) -> str:
    values = [value for run in runs if (value := getattr(run, of)) is not None]
    return f"{statistics.median(values):.1f}" if values else "-"


if __name__ == "__main__":
    sys.exit(main())
