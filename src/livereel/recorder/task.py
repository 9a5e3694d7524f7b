"""One task in a worker: tails its spool and feeds the outputs of all formats in one pass."""

from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import structlog

from livereel.domain.errors import SpoolError
from livereel.domain.recordings import SpoolPosition
from livereel.domain.templates import RecordFormat
from livereel.recorder.events import Progress, RecorderEvent, TaskFailed, TaskFinished, TaskSpec
from livereel.recorder.output import Output
from livereel.recorder.packets import Packet
from livereel.recorder.reader import TaskReader
from livereel.spool.tail import SpoolTail

log = structlog.get_logger()

#: Spool bytes taken in one step: 3 s of a 2.66 Mbit/s stream, so that tasks of a worker take turns when it is behind.
STEP_BYTES = 1024 * 1024
#: Seconds after which a spool that should be longer is taken as it is (torn by a power cut after it was recovered).
TORN_AFTER = 5.0
#: Seconds between progress reports.
PROGRESS_EVERY = 5.0


class TaskRecorder:
    """`step` when there may be something to read; take events from `events`."""

    def __init__(self, spec: TaskSpec, now: float) -> None:
        self.task_id = spec.task_id
        self.about = spec.about
        self._outbox: deque[RecorderEvent] = deque()
        # Formats whose place is known share one pass, which begins where the first of them has to; a format that has
        # not begun yet needs the pass to begin at the beginning.
        resumes = {name: spec.resume[name] for name in spec.formats if name in spec.resume}
        resumes = {name: resume for name, resume in resumes.items() if resume.checkpoint}
        start: SpoolPosition | None = None
        if resumes and len(resumes) == len(spec.formats):
            first = min(resumes.values(), key=lambda resume: tuple(resume.checkpoint["read"] or (0, 0)))
            self._reader = TaskReader.from_checkpoint(first.checkpoint)
            start = first.start
        else:
            self._reader = TaskReader()
        self._tail = SpoolTail(spec.spool_dir, spec.task_id, start)
        names = sorted(spec.formats, key=lambda name: name is not RecordFormat.HLS)
        self._outputs = [
            Output(spec, name, reader=self._reader, emit=self._outbox.append, resume=resumes.get(name))
            for name in names
        ]
        self._end: SpoolPosition | None = None
        self._interruption: tuple[SpoolPosition, frozenset[RecordFormat]] | None = None
        self._end_known_at = 0.0
        self._reported_at = now
        self._reported: SpoolPosition | None = None
        self._notes: dict[str, str] = {}
        self.done = False

    @property
    def position(self) -> SpoolPosition:
        """Where the next step begins to read."""
        return self._tail.position

    def finish_at(self, end: SpoolPosition, now: float) -> None:
        """The task takes no tag at or after `end`."""
        self._end = end
        self._end_known_at = now

    def interrupt_at(self, at: SpoolPosition, formats: frozenset[RecordFormat]) -> None:
        """The push broke at `at`; the files of these formats end there, unless the spool goes on behind it."""
        self._interruption = (at, formats)

    def step(self, now: float) -> bool:
        """Read and mux some of the spool; True if there may be more at once."""
        if self.done:
            return False
        end = self._end
        try:
            tags = self._tail.read(STEP_BYTES)
        except SpoolError as error:
            return self._damaged(error)
        last = False
        for position, tag in tags:
            if end is not None and position >= end:
                last = True
                break
            self._take(self._reader.feed(position, tag))
        if end is not None:
            torn = not tags and now - self._end_known_at > TORN_AFTER
            if last or torn or self._tail.position >= end:
                if torn and self._tail.position < end:
                    self._notes["torn"] = f"the spool ends at {list(self._tail.position)}, not at {list(end)}"
                self._finish()
                return False
        if self._interruption is not None and not tags:
            self._interrupt(*self._interruption)
        for output in self._outputs:
            output.report_growth(now)
        if now - self._reported_at >= PROGRESS_EVERY:
            self._report(now)
        return bool(tags)

    def events(self) -> list[RecorderEvent]:
        """Events since the last call, in order."""
        ready = list(self._outbox)
        self._outbox.clear()
        return ready

    @property
    def over(self) -> bool:
        """True when nothing is left to be done and no event to be taken."""
        return self.done and not self._outbox

    def fail(self, error: str) -> None:
        """Give the task up."""
        self.abort()
        self._outbox.append(TaskFailed(self.task_id, error))

    def abort(self) -> None:
        """Let go of everything; the task may be begun again elsewhere."""
        self.done = True
        for output in self._outputs:
            output.abort()
        self._tail.close()

    def discard(self) -> None:
        """Let go of everything, and give back the room of what is not finished."""
        self.abort()
        for output in self._outputs:
            output.discard()

    def _take(self, packets: Iterable[Packet]) -> None:
        reader, outputs = self._reader, self._outputs
        for packet in packets:
            opens = packet.is_key or not (packet.is_video or reader.has_video)
            for output in outputs:
                if not output.failed:
                    output.take(packet, opens)

    def _interrupt(self, at: SpoolPosition, formats: frozenset[RecordFormat]) -> None:
        if self._tail.position < at:
            return  # the rest is on its way
        self._interruption = None
        if self._tail.position == at:
            # What waits for its turn is given out now, as the begin mark of the next publish would have it.
            self._take(self._reader.finish())
            for output in self._outputs:
                if output.format in formats and not output.failed:
                    output.interrupt()

    def _finish(self) -> None:
        self._take(self._reader.finish())
        for output in self._outputs:
            if not output.failed:
                if self._notes:
                    output.spool_ends_early()
                output.finish()
        counts = self._reader.counts
        self._outbox.append(
            TaskFinished(
                self.task_id,
                {
                    "tags": counts.tags,
                    "publishes": self._reader.publish,
                    "repaired": counts.repaired,
                    "dropped": counts.dropped,
                    "wall_drift": counts.wall_drift,
                    **self._notes,
                },
            )
        )
        self.done = True
        self._tail.close()

    def _damaged(self, error: SpoolError) -> bool:
        """Nothing behind the damage can be read; what was read before is finished when the task is."""
        if "damaged" not in self._notes:
            log.error("spool_damaged", task=self.task_id, error=error.detail)
            self._notes["damaged"] = error.detail
        if self._end is not None:
            self._finish()
        return False

    def _report(self, now: float) -> None:
        self._reported_at = now
        position = self._tail.position
        if position != self._reported:
            self._reported = position
            with suppress(SpoolError):
                self._outbox.append(Progress(self.task_id, self._reader.end / 1000, position, self._tail.lag()))
