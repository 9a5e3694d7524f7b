"""The worker process: pulls one source and pushes it, for one life. Started by the supervisor.

The task comes on the first line of stdin, events go out on stdout, one JSON object per line; closing stdin ends the
push in an orderly way. Whatever goes wrong ends the process; trying again is the supervisor's part.
"""

import contextlib
import ipaddress
import os
import resource
import signal
import sys
import threading
import time
from typing import Final

from livereel.callbacks.guard import TargetGuard, TargetRefused
from livereel.observe.processes import die_with_parent
from livereel.pulls.events import (
    Alarm,
    Failed,
    FileFinished,
    FileStarted,
    Finished,
    Position,
    Progress,
    PullEventMessage,
    PullSpec,
    Started,
    to_json,
)
from livereel.pulls.net import redacted
from livereel.pulls.output import Output
from livereel.pulls.publisher import PushFailed
from livereel.pulls.source import Source, SourceFailed
from livereel.pulls.timeline import OutputClock

#: Address space, bytes. Stream copy needs little; a source that makes libav want more costs this process only.
_MEMORY_MAX: Final = 3 << 30
_PROGRESS_EVERY: Final = 2.0  # seconds
_LATE_MAX: Final = 2.0  # seconds the push may lag before its clock is set anew, instead of catching up in a burst
_FILE_MIN: Final = 1.0  # seconds a file takes at least: a list of empty files must not spin, nor flood its receiver
_END_GRACE: Final = 3.0  # seconds to end in order when asked to


class _Stopping(Exception):
    """The supervisor wants this life to end."""


class Life:
    """One run of one task."""

    def __init__(self, spec: PullSpec, stop: threading.Event) -> None:
        self._spec = spec
        self._stop = stop
        networks = [ipaddress.ip_network(network) for network in spec.allow_private]
        self._guard = TargetGuard(networks, setting=spec.setting)
        self._clock = OutputClock()
        self._output = Output(spec.destination, spec.tc_url, None if spec.trusted else self._guard)
        self._started = False
        self._anchor: float | None = None  # monotonic time of output time 0
        self._told_at = 0.0

    def run(self) -> PullEventMessage | None:
        """The event that this life ends with; None when it was asked to end."""
        try:
            if self._spec.live:
                self._play(self._spec.urls[0], Position(), live=True)
                ending: PullEventMessage = Failed("the source ended", "source")
            else:
                ending = self._play_list()
            self._output.close()
        except _Stopping:
            self._output.close()
            return None
        except TargetRefused as error:
            return Failed(str(error), "source", fatal=True)
        except PushFailed as error:
            fatal = isinstance(error.__cause__, TargetRefused)
            return Failed(str(error), "destination", fatal=fatal)
        except OSError as error:
            self._output.close()
            return Failed(str(error), "source")
        return ending

    def _play_list(self) -> PullEventMessage:
        spec = self._spec
        position = spec.position
        in_vain = 0  # files one after the other
        while spec.loop_time < 0 or position.loops < spec.loop_time:
            if position.index >= len(spec.urls):
                position = Position(0, 0.0, position.loops + 1)
                continue
            url, begun = spec.urls[position.index], time.monotonic()
            try:
                self._play(url, position, live=False)
                in_vain = 0
                _tell(FileFinished(position.index, url, position.loops))
            except TargetRefused:
                raise
            except SourceFailed as error:
                in_vain += 1
                if in_vain >= len(spec.urls):
                    raise
                _tell(Alarm(f"{redacted(url)} is left out: {error}"))
            self._wait(begun + _FILE_MIN - time.monotonic())
            position = Position(position.index + 1, 0.0, position.loops)
        return Finished()

    def _play(self, url: str, position: Position, *, live: bool) -> None:
        """Play one source to its end. Raises SourceFailed, PushFailed, TargetRefused, _Stopping."""
        try:
            source = Source(url, self._guard)
        except TargetRefused:
            raise
        except (OSError, ValueError) as error:
            raise SourceFailed(str(error) or type(error).__name__) from error
        try:
            if position.seconds > 0:
                source.seek(position.seconds)
            self._output.begin(source.tracks)
            if not self._started:
                self._started = True
                _tell(Started())
            for track in source.left_out:
                _tell(Alarm(f"a track of {redacted(url)} is left out: {track}"))
            if not live:
                _tell(FileStarted(position.index, url, position.loops))
            self._copy(source, position, paced=not live or source.is_playlist)
        finally:
            source.close()

    def _copy(self, source: Source, position: Position, *, paced: bool) -> None:
        self._clock.new_piece()
        began_at: int | None = None
        for packet in source.packets():
            at = self._clock.place(packet.track, packet.dts, packet.duration)
            if began_at is None:
                began_at = at
            if paced:
                self._pace(at)
            elif self._stop.is_set():
                raise _Stopping
            self._output.write(packet, at)
            now = time.monotonic()
            if now - self._told_at > _PROGRESS_EVERY:
                self._told_at = now
                played = position.seconds + (at - began_at) / 1000
                _tell(Progress(Position(position.index, played, position.loops), at / 1000))
        if began_at is None:
            raise SourceFailed("the source has no media")
        if paced:
            self._pace(self._clock.end)

    def _pace(self, at: int) -> None:
        """Wait until output time `at` (ms) has come."""
        now = time.monotonic()
        if self._anchor is None or now - (self._anchor + at / 1000) > _LATE_MAX:
            self._anchor = now - at / 1000
        self._wait(self._anchor + at / 1000 - now)

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(max(0.0, seconds)):
            raise _Stopping


_lock = threading.Lock()


def _tell(event: PullEventMessage) -> None:
    with _lock:
        sys.stdout.write(to_json(event) + "\n")
        sys.stdout.flush()


def _watch(stop: threading.Event) -> None:
    """Wait for stdin to be closed; then see to it that the process ends."""
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.readline():
            pass
    stop.set()
    time.sleep(_END_GRACE)
    os._exit(0)


def main() -> None:
    """Entry point: `python -m livereel.pulls.worker`."""
    die_with_parent()
    # Ctrl-C and service managers signal the whole process group; when to end is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    if not (line := sys.stdin.readline()):
        return  # the supervisor is gone already
    spec = PullSpec.from_json(line)
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), name="watch", daemon=True).start()
    ending = Life(spec, stop).run()
    if ending is not None:
        _tell(ending)
    os._exit(0)


if __name__ == "__main__":
    main()
