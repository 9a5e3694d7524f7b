"""How quickly messages leave the outbox: messages a second, and how long after its commit a message arrives.

    python -m bench.callbacks [--messages 4000] [--rate 100] [--seconds 10]

A real dispatcher on a real SQLite catalogue sends recording callbacks, signed, over HTTP to receivers in a process of
their own, 1 and then 50 of them, each at a port of its own: alone, with one more that takes 5 s for each answer, and
with a loop that is busy with something else in turns of 2 ms, as that of a server with hundreds of streams is. First
everything waits already, which shows the throughput; then messages are written at a rate, which shows the latency.
Only what goes to quick receivers counts. Aim: hundreds a second to one receiver.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from multiprocessing.connection import Connection
from pathlib import Path

from livereel.callbacks.dispatcher import Dispatcher, DispatcherConfig
from livereel.callbacks.payloads import CALLBACK
from livereel.callbacks.targets import Targets
from livereel.catalogue.engine import open_catalogue
from livereel.catalogue.port import Catalogue
from livereel.cli.serve import SWITCH_INTERVAL
from livereel.domain.messages import CallbackConfig, MessageState, OutboxMessage
from livereel.observe.clock import SystemClock
from livereel.observe.logging import configure

PROJECT = "0123456789abcdef0123456789abcdef"
KEY = "0123456789abcdef0123456789ABCDEF"
CONFIG = DispatcherConfig(allow_private=[ip_network("127.0.0.0/8")])
STORY = ("RECORD_START", "RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "RECORD_OVER")  # of one recording
SLOW = 5.0  # seconds for each answer
TURN = 0.002  # seconds that the busy loop is kept at a time
AT_ONCE = 500  # messages of one transaction
PATIENCE = 300.0  # seconds for all messages to arrive


class Conversation(asyncio.Protocol):
    """One connection to a receiver."""

    def __init__(self, arrived: dict[int, float], delay: float) -> None:
        self._arrived, self._delay, self._seen = arrived, delay, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end].decode("latin-1")
            length = int(re.search(r"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
            if len(self._seen) < end + 4 + length:
                return
            self._seen = self._seen[end + 4 + length :]
            message = int(re.search(r"(?i)livereel-message-id: (\d+)", head)[1])  # type: ignore[index]
            self._arrived.setdefault(message, time.monotonic())
            asyncio.get_running_loop().call_later(self._delay, self._answer, "connection: close" in head.lower())

    def _answer(self, last: bool) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if last:
            self._transport.close()


def receive(quick: int, slow: int, pipe: Connection) -> None:
    """Be receivers: tell their ports, then for each "?" how many messages came to quick ones, and when at "."."""
    asyncio.run(_receive(quick, slow, pipe))


async def _receive(quick: int, slow: int, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    arrived: dict[int, float] = {}
    ports = []
    for number in range(quick + slow):
        known, delay = (arrived, 0.0) if number < quick else ({}, SLOW)
        server = await loop.create_server(lambda k=known, d=delay: Conversation(k, d), "127.0.0.1", 0)  # type: ignore[misc]
        ports.append(server.sockets[0].getsockname()[1])
    pipe.send(ports)
    over = asyncio.Event()

    def answer() -> None:
        if pipe.recv() == "?":
            pipe.send(len(arrived))
        else:
            pipe.send(arrived)
            over.set()

    loop.add_reader(pipe.fileno(), answer)
    await over.wait()


@dataclass
class Case:
    """Who receives, and what else there is to do."""

    quick: int
    slow: int = 0
    busy: bool = False

    def __str__(self) -> str:
        extra = " and a slow one" if self.slow else ""
        return f"{self.quick} receiver{'s' if self.quick > 1 else ''}{extra}{', busy loop' if self.busy else ''}"


class Bench:
    """One case: a catalogue, receivers and a dispatcher."""

    def __init__(self, case: Case, catalogue: Catalogue, pipe: Connection) -> None:
        self._case = case
        self._catalogue = catalogue
        self._pipe = pipe
        self._dispatcher = Dispatcher(catalogue, SystemClock(), Targets(lambda b, k, _: f"https://x/{b}/{k}"), CONFIG)
        self._domains = [f"d{n}.example.com" for n in range(case.quick + case.slow)]
        self._told = 0

    async def prepare(self) -> None:
        now = time.time()
        async with self._catalogue.write() as work:
            for domain, port in zip(self._domains, self._pipe.recv(), strict=True):
                url = f"http://127.0.0.1:{port}/hook"
                await work.callbacks.add(CallbackConfig(domain, PROJECT, domain, "*", url, now, now, key=KEY))

    async def drain(self, messages: int) -> tuple[float, float]:
        """Messages a second when all of them wait already, and milliseconds of CPU that each of them takes."""
        await self._add(messages)
        begun, cpu = time.monotonic(), time.process_time()
        await self._dispatcher.start()
        await self._until_arrived(self._told)
        return messages / (time.monotonic() - begun), (time.process_time() - cpu) / messages * 1000

    async def pace(self, rate: float, seconds: float) -> list[float]:
        """Milliseconds from commit to arrival, sorted."""
        committed: dict[int, float] = {}
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + seconds:
            due = int((now - begun) * rate) - len(committed)
            if due > 0:
                ids = await self._add(due)
                committed |= dict.fromkeys(ids, time.monotonic())
                self._dispatcher.notify()
            await asyncio.sleep(0.01)
        await self._until_arrived(self._told)
        self._pipe.send(".")
        arrived: dict[int, float] = self._pipe.recv()
        await self._dispatcher.stop(grace=0.1)
        return sorted((arrived[each] - at) * 1000 for each, at in committed.items())

    async def _add(self, number: int) -> list[int]:
        """Write messages: `number` to quick receivers, in turn, and as many to a slow one as each of them gets."""
        ids: list[int] = []
        places = range(self._told, self._told + number)
        for first in range(places.start, places.stop, AT_ONCE):
            async with self._catalogue.write() as work:
                for place in places[first - places.start : first - places.start + AT_ONCE]:
                    ids.append(await work.outbox.add(self._message(place, place % self._case.quick)))
                    if self._case.slow and place % self._case.quick == 0:
                        await work.outbox.add(self._message(place, self._case.quick))
        self._told += number
        return ids

    def _message(self, place: int, receiver: int) -> OutboxMessage:
        domain, now = self._domains[receiver], time.time()
        round_ = place // self._case.quick  # how many messages this receiver has had
        task = f"{receiver:016x}{round_ // len(STORY):016x}"
        event = STORY[round_ % len(STORY)]
        body = {
            "project_id": PROJECT, "job_id": task, "task_id": task, "event_type": event, "publish_domain": domain,
            "app": "live", "stream": f"cam{place % 1000:03}", "record_format": "HLS", "download_url": "",
            "asset_id": task, "file_size": 4194304, "record_duration": 60, "start_time": "2026-07-21T06:15:28Z",
            "end_time": "2026-07-21T06:16:28Z", "width": 1280, "height": 720, "obs_location": "cn-north-4",
            "obs_bucket": "recordings", "obs_object": f"archive/x/{task}.m3u8", "verification": "verified",
        }  # fmt: skip
        return OutboxMessage(
            0,
            f"{CALLBACK}/{task}",
            CALLBACK,
            event,
            PROJECT,
            domain,
            "http://x/",
            body,
            MessageState.PENDING,
            0,
            now,
            now,
        )

    async def _until_arrived(self, number: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self._pipe.send("?")
            if self._pipe.recv() >= number:
                return
            assert time.monotonic() < deadline, "messages do not arrive"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def company(busy: bool) -> AsyncIterator[None]:
    """Something else that wants the loop all the time."""

    async def hog() -> None:
        while True:
            until = time.perf_counter() + TURN
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    task = asyncio.create_task(hog()) if busy else None
    yield
    if task is not None:
        task.cancel()


async def run(case: Case, options: argparse.Namespace) -> None:
    """Measure one case and print its line."""
    ours, theirs = multiprocessing.Pipe()
    receivers = multiprocessing.get_context("spawn").Process(target=receive, args=(case.quick, case.slow, theirs))
    receivers.start()
    with tempfile.TemporaryDirectory() as directory:
        catalogue = await open_catalogue(f"sqlite:///{Path(directory) / 'catalogue.db'}")
        bench = Bench(case, catalogue, ours)
        await bench.prepare()
        async with company(case.busy):
            throughput, cpu = await bench.drain(options.messages // (4 if case.busy else 1))
            times = await bench.pace(options.rate, options.seconds)
        await catalogue.close()
    receivers.join()
    used = "" if case.busy else f"{cpu:.2f}"
    middle, p95, longest = statistics.median(times), times[int(len(times) * 0.95)], times[-1]
    print(
        f"{case!s:>36} {throughput:>8.0f} {used:>8} {len(times):>8} {middle:>8.1f} {p95:>8.1f} {longest:>8.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=4000, help="that wait at first")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second afterwards")
    parser.add_argument("--seconds", type=float, default=10.0, help="of messages at that rate")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL)
    configure(form="json", stream=Path(os.devnull).open("w"))  # noqa: SIM115  what a server pays for its log
    print(f"{'':>36} {'a second':>8} {'CPU ms':>8} {'paced':>8} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8}")
    for quick in (1, 50):
        for case in (Case(quick), Case(quick, slow=1), Case(quick, busy=True)):
            asyncio.run(run(case, options))


if __name__ == "__main__":
    main()
