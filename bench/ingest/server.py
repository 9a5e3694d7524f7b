"""livereel's ingest and spool alone in a process: every publisher is admitted and recorded.

    python -m bench.ingest.server --directory DIR [--port 0] [--sweep 0.5] [--low-water 262144] [--no-record]
        [--fsync-interval 1.0|off]

Prints the port when it listens; on SIGTERM it stops in order and prints one line of JSON.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from livereel.domain.keys import StreamKey
from livereel.domain.messages import Publish
from livereel.ingest.config import IngestConfig
from livereel.ingest.listener import IngestServer
from livereel.observe import interpreter, logging, metrics
from livereel.observe.clock import SystemClock
from livereel.observe.garbage import collected_rarely
from livereel.rtmp import demuxer
from livereel.rtmp.url import PublishTarget
from livereel.spool.pool import FSYNC_INTERVAL, SpoolPool
from livereel.spool.writer import SpoolWriter
from livereel.streams.registry import StreamRegistry
from livereel.streams.stream import Stream

LOOK_EVERY = 0.25  # seconds between two looks at how late the loop is; more often would be a load of its own


class RecordAll:
    """Admits and records everybody."""

    def __init__(self, pool: SpoolPool, clock: SystemClock, record: bool) -> None:
        self._pool = pool
        self._clock = clock
        self._record = record
        self._registry = StreamRegistry()
        self._writers: dict[str, SpoolWriter] = {}
        self.failures: list[str] = []

    async def admit(self, target: PublishTarget, client_ip: str, node_ip: str) -> Stream:
        key = StreamKey.parse("bench", target.app, target.stream)
        now = self._clock.now()
        stream = self._registry.open(key, Publish(target.stream, client_ip, node_ip, "", now), "bench", now)
        if self._record:
            writer = self._pool.open(target.stream, target.stream, lambda error: self.failures.append(error.detail))
            stream.attach(writer, now)
            self._writers[target.stream] = writer
        return stream

    async def ended(self, stream: Stream, reason: str) -> None:
        self._registry.close(stream)
        if writer := self._writers.pop(stream.key.stream, None):
            stream.detach(writer)
            await writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sweep", type=float, default=IngestConfig().sweep_interval)
    parser.add_argument("--low-water", type=int, default=IngestConfig().low_water)
    parser.add_argument("--window", type=int, default=IngestConfig().window)
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--fsync-interval", default=str(FSYNC_INTERVAL), help="seconds, or off")
    options = parser.parse_args()

    interpreter.tune()
    logging.configure("warning")
    clock = SystemClock()
    interval = None if options.fsync_interval == "off" else float(options.fsync_interval)
    pool = SpoolPool(options.directory, fsync_interval=interval)
    admission = RecordAll(pool, clock, not options.no_record)
    config = IngestConfig(sweep_interval=options.sweep, low_water=options.low_water, window=options.window)
    server = IngestServer(
        host="127.0.0.1",
        port=options.port,
        admission=admission,
        config=config,
        clock=clock,
        on_slice=pool.slice_over,
        on_pass=pool.pass_over,
    )
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await server.start()
    print(server.port, flush=True)
    delays: list[float] = []
    with collected_rarely():
        watch = asyncio.create_task(_watch_loop(delays))
        await stopped.wait()
        watch.cancel()
    await server.stop()
    await pool.close()
    report = {
        "demuxer": demuxer.build(),
        "failures": admission.failures,
        "slices": _slices(),
        "loop_delay_ms": 1000 * sorted(delays)[len(delays) * 95 // 100],
        "fsync_ms": _mean_fsync(),
    }
    json.dump(report, sys.stdout)
    print(flush=True)


async def _watch_loop(delays: list[float]) -> None:
    """Note how late the loop comes back to somebody who waits for a time."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_EVERY
        await asyncio.sleep(LOOK_EVERY)
        delays.append(loop.time() - due)


def _mean_fsync() -> float:
    """Milliseconds that bringing one spool to the disk took."""
    samples = {
        sample.name.rpartition("_")[2]: sample.value for sample in metrics.spool_fsync_seconds.collect()[0].samples
    }
    return 1000 * samples["sum"] / samples["count"] if samples["count"] else 0.0


def _slices() -> dict[str, float]:
    """How often the pump held the loop for up to so many seconds."""
    (family,) = metrics.sweep_seconds.collect()
    return {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}


if __name__ == "__main__":
    asyncio.run(main())
