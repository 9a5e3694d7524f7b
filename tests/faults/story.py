"""One kill and all that leads to it and follows from it: decided by a seed, carried out on a real server."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from livereel.testing.api_client import Reply
from tests.acceptance.server import wait_until
from tests.faults.encoders import Crew, Encoder
from tests.faults.instance import BROKEN, PATIENCE, Instance
from tests.faults.numbered import Media

#: Seconds from the first packet to the fault, at most.
BEFORE_FAULT = 4.0
#: Seconds that encoders which are back go on.
AFTER_RETURN = 1.5
#: Packets that an encoder keeps for its return, however long everything before it takes.
RESERVE = 1000  # half a minute of media
#: Merge windows in seconds: none, one that a restart may or may not take longer than, one that it never does.
WINDOWS = {"COMMAND_RECORD": (0, 3, 60), "CONTINUOUS_RECORD": (0, 3, 12)}
#: What START and STOP may say besides 200: docs/api/errors.md.
REFUSALS = {(404, "LIVE.100011001"), (400, "LIVE.100011001"), (400, "LIVE.100011022")}


class Fault(StrEnum):
    """What is killed, and when."""

    SERVER = "server while recording"
    WORKER = "workers while recording"
    BOTH = "server and workers while recording"
    RECOVERY = "server while recording, and again in its recovery"
    FINISHING = "server while files are finished and stored"


@dataclass
class StreamPlan:
    """A stream and its encoder."""

    name: str
    kind: str
    window: int
    speed: float
    cycle: int
    appears_at: float
    started_at: float  # when START is sent first
    returns_after: float | None  # seconds after the fault; None: its encoder is not seen again


@dataclass
class Plan:
    """What a seed means."""

    seed: int
    fault: Fault
    at: float
    streams: list[StreamPlan]
    #: The step of the process at which it dies; None: at a moment of the clock.
    step: int | None
    #: Where the next lives end, in steps or seconds, before one is left alone.
    again: list[int | float]

    @classmethod
    def of(cls, seed: int) -> "Plan":
        chance = random.Random(seed)
        fault = list(Fault)[seed % len(Fault)]
        streams = [cls._stream(seed, number, chance) for number in range(chance.choice((2, 2, 3)))]
        step = chance.randrange(60) if fault in (Fault.SERVER, Fault.FINISHING) and chance.random() < 0.6 else None
        again: list[int | float] = []
        if fault is Fault.RECOVERY:
            again = [chance.randrange(50) if chance.random() < 0.7 else chance.uniform(0.2, 2.5)
                     for _ in range(chance.choice((1, 1, 2)))]  # fmt: skip
        return cls(seed, fault, chance.uniform(0.1, BEFORE_FAULT), streams, step, again)

    @staticmethod
    def _stream(seed: int, number: int, chance: random.Random) -> StreamPlan:
        kind = "COMMAND_RECORD" if chance.random() < 0.7 else "CONTINUOUS_RECORD"
        fast = chance.random() < 0.3
        window = chance.choice(WINDOWS[kind])
        outside = window + 2.5 if 0 < window < 10 else None
        return StreamPlan(
            name=f"s{seed}-{number}",
            kind=kind,
            window=window,
            speed=12.0 if fast else 1.0,
            cycle=60 if fast else 3600,
            appears_at=chance.uniform(0, 0.5),
            started_at=chance.uniform(0, 1.0),
            returns_after=chance.choice((0.0, 0.0, 0.0, outside, None)),
        )

    def __str__(self) -> str:
        how = f"at step {self.step}" if self.step is not None else f"after {self.at:.2f} s"
        streams = "\n  ".join(str(stream) for stream in self.streams)
        return f"seed {self.seed}: {self.fault}, {how}, again {self.again}\n  {streams}"


@dataclass
class Asked:
    """A START or STOP: when it was sent, and when 200 came back if it did (monotonic time)."""

    at: float
    answered_at: float | None = None


@dataclass
class Stream:
    """A stream as it went."""

    plan: StreamPlan
    encoder: Encoder
    starts: list[Asked] = field(default_factory=list)
    stops: list[Asked] = field(default_factory=list)


class Story:
    """Carries out a plan."""

    def __init__(self, plan: Plan, instance: Instance, crew: Crew, media: Media) -> None:
        self.plan = plan
        self.instance = instance
        self.media = media
        self._crew = crew
        self._told_at = time.monotonic()
        share = len(media.packets) // len(plan.streams)
        self.streams = [
            Stream(stream, Encoder(crew, media, lambda: instance.port, stream.name, first=number * share,
                                   speed=stream.speed))
            for number, stream in enumerate(plan.streams)
        ]  # fmt: skip
        for number, stream in enumerate(self.streams, 1):
            stream.encoder.pauses_at = number * share - RESERVE
        #: When the server died, of those deaths that this story brought about.
        self.deaths: list[float] = []

    @property
    def lag(self) -> float:
        """How long processes had to wait for their turn on this machine during the story, seconds."""
        return self._crew.lag(self._told_at)

    def run(self) -> None:
        """From the first push to the moment when nothing is left to be done."""
        for stream in self.plan.streams:
            self.instance.template(stream.name, kind=stream.kind, merge=stream.window, cycle=stream.cycle)
        died_before = len(self.instance.deaths)
        try:
            with ThreadPoolExecutor(len(self.streams) * 2) as pool:
                begun = time.monotonic()
                acting = [pool.submit(self._appear, stream, begun) for stream in self.streams]
                self._sleep_until(begun + self.plan.at)
                self._bring_about()
                struck = time.monotonic()
                for job in acting:
                    job.result(PATIENCE)
                self._let_return(struck)
                self._live_again()
                list(pool.map(self._see_out, self.streams))
        finally:
            for stream in self.streams:
                stream.encoder.leave()
        self.deaths = self.instance.deaths[died_before:]
        names = [stream.plan.name for stream in self.streams]
        wait_until(lambda: not self.instance.unfinished(names), PATIENCE, f"{self.instance.unfinished(names)} to end")

    def _appear(self, stream: Stream, begun: float) -> None:
        self._sleep_until(begun + stream.plan.appears_at)
        stream.encoder.start()
        if stream.plan.kind == "COMMAND_RECORD":
            self._sleep_until(begun + stream.plan.started_at)
            self._start(stream, patient=True)

    def _start(self, stream: Stream, *, patient: bool) -> None:
        """START until it is answered by 200, or anything but "not live"; or the server is gone."""
        deadline = time.monotonic() + BEFORE_FAULT * 2
        while self.instance.alive and time.monotonic() < deadline and not stream.stops:
            asked = Asked(time.monotonic())
            try:
                reply = self.instance.control("START", stream.plan.name)
            except BROKEN:
                return
            if reply.status == 200:
                asked.answered_at = time.monotonic()
                stream.starts.append(asked)
                return
            self._check_refusal(reply)
            if not patient or reply.status != 404:
                return
            time.sleep(0.1)

    def _stop(self, stream: Stream) -> None:
        asked = Asked(time.monotonic())
        stream.stops.append(asked)
        stream.encoder.settle()  # what was sent by then is with the server
        with suppress(*BROKEN):
            reply = self.instance.control("STOP", stream.plan.name)
            if reply.status == 200:
                asked.answered_at = time.monotonic()
            else:
                self._check_refusal(reply)

    def _check_refusal(self, reply: Reply) -> None:
        assert (reply.status, reply.json().get("error_code")) in REFUSALS, (reply.status, reply.body)

    def _bring_about(self) -> None:
        instance, fault = self.instance, self.plan.fault
        if fault is Fault.WORKER:
            wait_until(instance.kill_workers, PATIENCE, "a worker to kill")
            return
        if self.plan.step is not None:
            instance.die_at_step(self.plan.step)
        if fault is Fault.FINISHING:
            with ThreadPoolExecutor(len(self.streams)) as pool:
                list(pool.map(self._end, self.streams))
        if self.plan.step is not None and instance.buried(BEFORE_FAULT):
            return
        if fault is Fault.BOTH:
            instance.kill_workers()
        instance.strike()

    def _end(self, stream: Stream) -> None:
        """However the stream's recording ends."""
        if stream.plan.kind == "COMMAND_RECORD":
            self._stop(stream)
        else:
            stream.encoder.leave()

    def _let_return(self, struck: float) -> None:
        for stream in self.streams:
            if stream.plan.returns_after is not None:
                stream.encoder.back_at = struck + stream.plan.returns_after

    def _live_again(self) -> None:
        """Start the server until it is left alone."""
        for end in self.plan.again:
            if isinstance(end, int):
                self.instance.die_at_step(end)
                self.instance.launch()
                if self.instance.buried(5.0):
                    continue
            else:
                self.instance.launch()
                time.sleep(end)
            self.instance.strike()
        if not self.instance.running:
            self.instance.start()

    def _see_out(self, stream: Stream) -> None:
        """Let encoders come back and go on for a while, record on, and end it."""
        stream.encoder.pauses_at = len(self.media.packets)
        comes_back = stream.plan.returns_after is not None and self.plan.fault is not Fault.FINISHING
        pushes = len(stream.encoder.pushes)
        if comes_back and self.plan.fault is not Fault.WORKER:
            wait_until(lambda: len(stream.encoder.pushes) >= max(pushes, 1) and stream.encoder.publishing, PATIENCE,
                       f"{stream.plan.name} to be back")  # fmt: skip
            if stream.plan.kind == "COMMAND_RECORD":
                self._start(stream, patient=False)
        time.sleep(AFTER_RETURN)
        if stream.plan.kind == "COMMAND_RECORD" and not (stream.stops and stream.stops[-1].answered_at):
            self._stop(stream)
        stream.encoder.leave()

    @staticmethod
    def _sleep_until(moment: float) -> None:
        time.sleep(max(0.0, moment - time.monotonic()))
