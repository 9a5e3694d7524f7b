"""What bringing spools to the disk costs: `python -m bench.spool`.

Spools alone, without sockets: batches of half a second of 2.66 Mbit/s are appended to N of them in real time, as sweeps
of the ingest pump do, while new ones begin at some rate. For each interval of fsync, in turns: CPU time of the process
per stream-second (encoding of tags, writing and syncing; the kernel's own threads are not in it), how late the event
loop is, and how long a beginning waits until its first key frame is on disk, which is what START waits for.
"""

import argparse
import asyncio
import gc
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from livereel.domain.media import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag
from livereel.flv.script import encode_script
from livereel.observe import logging, metrics
from livereel.spool.pool import SpoolPool

SWEEP = 0.5  # seconds, as `ingest.config` has it
SLICE = 8  # spools between two hand-overs: about 4 ms of reading
FRAMES, FRAME_BYTES, KEY_FRAME_BYTES, AUDIO_BYTES = 15, 9_700, 60_000, 341
HEADERS = [
    Tag(TAG_SCRIPT, 0, encode_script("onMetaData", {"width": 1280.0})),
    Tag(TAG_VIDEO, 0, bytes.fromhex("17000000000142c01effe100046742c01e01000468ce3c80")),
    Tag(TAG_AUDIO, 0, bytes.fromhex("af001190")),
]


@dataclass(frozen=True, slots=True)
class Result:
    """One run. Milliseconds; `cpu` per stream-second."""

    cpu: float
    loop: float
    begin_median: float
    begin_worst: float
    fsync: float


def batch(at: int) -> list[Tag]:
    """Half a second of a stream from `at` (ms) on, with a key frame every two seconds."""
    noise = random.Random(1).randbytes(KEY_FRAME_BYTES)
    tags: list[Tag] = []
    for number in range(FRAMES):
        key = number == 0 and at % 2000 == 0
        head = b"\x17\x01\0\0\0" if key else b"\x27\x01\0\0\0"
        tags.append(Tag(TAG_VIDEO, at + 33 * number, head + noise[: KEY_FRAME_BYTES if key else FRAME_BYTES]))
        tags += [Tag(TAG_AUDIO, at + 33 * number + more, b"\xaf\x01" + noise[:AUDIO_BYTES]) for more in (0, 16)]
    return tags


async def run(directory: Path, interval: float | None, streams: int, seconds: float, begins: float) -> Result:
    """Record `streams` streams for so long while `begins` recordings a second begin."""
    pool = SpoolPool(directory, fsync_interval=interval)
    batches = [batch(at) for at in range(0, 2000, 500)]
    writers = [pool.open(f"stream-{number}", "publish") for number in range(streams)]
    for writer in writers:
        writer.begin(HEADERS, time.time())
    loop, late, waits = asyncio.get_running_loop(), list[float](), list[float]()
    count, total = _fsyncs()

    async def look() -> None:
        while True:
            due = loop.time() + 0.05
            await asyncio.sleep(0.05)
            late.append(loop.time() - due)

    async def begin(number: int) -> None:
        begun = loop.time()
        writer = pool.open(f"begin-{number}", "publish")
        writer.begin(HEADERS, time.time())
        writer.append(batches[0], time.time())
        pool.flush()
        await writer.first_keyframe_written.wait()
        waits.append(loop.time() - begun)
        await writer.close()

    async def begin_some() -> None:
        number, due = 0, loop.time()
        async with asyncio.TaskGroup() as group:
            while due < loop.time() + seconds - 1 and loop.time() < begun + seconds - 1:
                group.create_task(begin(number))
                number, due = number + 1, due + 1 / begins
                await asyncio.sleep(max(0.0, due - loop.time()))

    begun = loop.time()
    watch = asyncio.create_task(look())
    others = [asyncio.create_task(begin_some())] if begins else []
    before, sweep = _cpu(), 0
    while sweep * SWEEP < seconds:
        for number, writer in enumerate(writers):
            writer.append(batches[sweep % 4], time.time())
            if number % SLICE == SLICE - 1:
                pool.flush()
                await asyncio.sleep(0)
        pool.flush()
        sweep += 1
        await asyncio.sleep(max(0.0, begun + sweep * SWEEP - loop.time()))
    spent, passed = _cpu() - before, loop.time() - begun
    watch.cancel()
    for other in others:
        await other
    await pool.close()
    fsyncs, took = _fsyncs()
    return Result(
        cpu=1000 * spent / passed / streams,
        loop=1000 * sorted(late)[len(late) * 99 // 100],
        begin_median=1000 * statistics.median(waits) if waits else 0.0,
        begin_worst=1000 * max(waits, default=0.0),
        fsync=1000 * (took - total) / max(1, fsyncs - count),
    )


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _fsyncs() -> tuple[float, float]:
    values = {sample.name: sample.value for sample in metrics.spool_fsync_seconds.collect()[0].samples}
    return values["livereel_spool_fsync_seconds_count"], values["livereel_spool_fsync_seconds_sum"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.spool", description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", default="50,200", help="how many at once, e.g. 50,200")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each interval, taken in turns")
    parser.add_argument("--intervals", default="off,1,0.2", help="of fsync, in seconds, or off")
    parser.add_argument("--begins", type=float, default=0.0, help="recordings that begin each second meanwhile")
    parser.add_argument("--directory", type=Path, help="where to write (default: a temporary directory)")
    options = parser.parse_args()
    logging.configure("error")
    gc.freeze()
    intervals = options.intervals.split(",")
    for streams in (int(number) for number in options.streams.split(",")):
        results: dict[str, list[Result]] = {interval: [] for interval in intervals}
        for _ in range(options.repeat):
            for interval in intervals:
                directory = Path(tempfile.mkdtemp(prefix="livereel-bench-", dir=options.directory))
                seconds = None if interval == "off" else float(interval)
                results[interval].append(asyncio.run(run(directory, seconds, streams, options.seconds, options.begins)))
                shutil.rmtree(directory)
        print(f"\n{streams} streams, {options.begins:.0f} begin each second, medians of {options.repeat}")
        print(f"{'fsync':8}{'CPU ms / stream s':>20}{'loop p99 ms':>14}{'begin p50 / max ms':>22}{'one fsync ms':>14}")
        for interval, runs in results.items():
            middle = {name: statistics.median(getattr(found, name) for found in runs) for name in Result.__slots__}
            begin = f"{middle['begin_median']:.0f} / {middle['begin_worst']:.0f}" if options.begins else "-"
            print(f"{interval:8}{middle['cpu']:>20.3f}{middle['loop']:>14.1f}{begin:>22}{middle['fsync']:>14.1f}")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
