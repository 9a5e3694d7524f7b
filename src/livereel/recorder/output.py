"""One format of one task: packets in, record files and events out."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import structlog

from livereel.domain.media import TAG_AUDIO, TAG_VIDEO, AudioTrack, VideoTrack
from livereel.domain.naming import slice_name
from livereel.domain.recordings import Gap, GapReason, SpoolPosition
from livereel.domain.templates import FormatConfig, RecordFormat
from livereel.recorder.cutter import CutReason, Cutter, Verdict
from livereel.recorder.events import (
    FileFailed,
    FileFinished,
    FileGrown,
    FileStarted,
    PlaylistReady,
    RecorderEvent,
    Resume,
    SliceReady,
    TaskSpec,
    job_id,
)
from livereel.recorder.muxing.flv import FlvWriter
from livereel.recorder.muxing.hls import HlsWriter
from livereel.recorder.muxing.mp4 import Mp4Writer
from livereel.recorder.muxing.playlist import Slice
from livereel.recorder.muxing.port import NO_ROOM, BadPacket, CannotMux, FileWriter, NoRoom, Written
from livereel.recorder.packets import Packet, Tracks
from livereel.recorder.reader import TaskReader
from livereel.recorder.stats import FileStats

log = structlog.get_logger()

Emit = Callable[[RecorderEvent], None]

FILE_NAMES: Final = {RecordFormat.FLV: "recording.flv", RecordFormat.MP4: "recording.mp4"}
#: Growth of a file is looked at after so many seconds, and reported when it has passed another multiple of so many
#: bytes: that is when one more of the smallest parts that stores take is complete.
_GROWTH_SECONDS: Final = 1.0
_GROWTH_BYTES: Final = 5 * 1024 * 1024
#: A muxer that refuses this many packets in a row will not take the next one either.
_MAX_BAD_IN_A_ROW: Final = 250


class Output:
    """Feed it every packet of the task; `finish` at the end."""

    def __init__(
        self,
        spec: TaskSpec,
        record_format: RecordFormat,
        *,
        reader: TaskReader,
        emit: Emit,
        resume: Resume | None,
    ) -> None:
        self._spec = spec
        self.format = record_format
        self._config: FormatConfig = spec.formats[record_format]
        self._reader = reader
        self._emit = emit
        self._cutter = Cutter(self._config.record_cycle, self._config.merge_window)
        self._sequence = resume.sequence if resume is not None else 1
        # Where the next file begins, if that is known: nothing before it is ours.
        self._not_before = SpoolPosition(*resume.checkpoint["not_before"]) if resume is not None else None
        self._writer: FileWriter | None = None
        self._stats = FileStats()
        self._start = 0  # media time of the open file's first packet
        self._started_at = 0.0
        self._publish = 0  # of the latest packet
        self._bad_in_a_row = 0
        self._grown_at = 0.0
        self._grown_to = 0
        self.files = 0
        self.failed = False

    def take(self, packet: Packet, opens: bool) -> None:
        """Take the next packet; `opens`: a file may begin with it."""
        if self._not_before is not None:
            if not opens or packet.position < self._not_before:
                return
            self._not_before = None
        gap = None if self._reader.taken_over else self._reader.publish_gap
        verdict = self._cutter.judge(packet, opens, gap, self._tracks)
        if verdict is Verdict.WRITE:
            if self._cutter.merged:
                reason = GapReason.TAKEOVER if self._reader.taken_over else GapReason.RECONNECT
                gap_start, missing = self._reader.publish_wall, self._reader.publish_gap
                self._gap(reason, self._stats.high, missing, gap_start, gap_start + missing)
            self._write(packet)
        elif verdict is Verdict.OPEN:
            self._close(packet)
            if not self.failed:
                self._open(packet)
        elif verdict is Verdict.CLOSE:
            self._close(packet)
        elif self._writer is not None:
            self._stats.spooled(packet)
            self._stats.dropped("parameters changed before a key frame")

    def spool_ends_early(self) -> None:
        """What the spool held behind the latest packet cannot be read."""
        if self._writer is not None:
            end = self._stats.end
            self._gap(GapReason.SPOOL, end, None, self._reader.wall(self._start + end, self._publish), None)

    def report_growth(self, now: float) -> None:
        """Say how far the open file has come, if that is worth it. `now` is monotonic seconds."""
        if self._writer is None or now - self._grown_at < _GROWTH_SECONDS:
            return
        self._grown_at = now
        end = self._writer.stable_end()
        if end // _GROWTH_BYTES > self._grown_to // _GROWTH_BYTES:
            self._grown_to = end
            path = self._directory / FILE_NAMES[self.format]
            self._emit(FileGrown(self._spec.task_id, self._job_id, path, end))

    def interrupt(self) -> None:
        """The push broke for longer than the merge window."""
        self._cutter.reason = CutReason.INTERRUPTION
        self._close(None)

    def finish(self) -> None:
        """The task is over."""
        self._cutter.reason = CutReason.END
        self._close(None)

    def abort(self) -> None:
        """Drop the open file; it will be made again."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _write(self, packet: Packet) -> None:
        assert self._writer is not None
        dts = packet.dts - self._start
        self._stats.spooled(packet)
        try:
            self._writer.write(packet, dts)
        except BadPacket as error:
            self._bad_in_a_row += 1
            self._stats.dropped(str(error) if dts >= 0 else "before the first key frame")
            if self._bad_in_a_row >= _MAX_BAD_IN_A_ROW:
                self._fail(f"{self._bad_in_a_row} packets in a row could not be muxed: {error}")
        except OSError as error:
            self._refused("cannot be written", error)
        else:
            self._bad_in_a_row = 0
            self._publish = packet.publish
            before = self._stats.high
            silence = self._stats.kept(packet, dts)
            if packet.lost or silence:
                self._missing(packet, before, silence)

    def _missing(self, packet: Packet, before: int, silence: int) -> None:
        """Note what is missing before a packet that came `silence` ms after `before`."""
        wall = self._reader.wall(packet.dts, packet.publish)
        if packet.lost:
            at = packet.dts - self._start - silence
            self._gap(GapReason.TIMESTAMP_JUMP, at, packet.lost, wall - packet.lost - silence / 1000, wall)
        else:
            self._gap(GapReason.SILENCE, before, silence / 1000, wall - silence / 1000, wall)

    def _gap(
        self, reason: GapReason, at: int, missing: float | None, wall_start: float, wall_end: float | None
    ) -> None:
        self._stats.gap(Gap(reason, at / 1000, missing, wall_start, wall_end))

    def _open(self, packet: Packet) -> None:
        tracks = self._tracks(packet)
        self._cutter.opened(packet, tracks)
        self._start = packet.dts
        self._stats = FileStats()
        self._publish = packet.publish
        self._started_at = self._reader.wall(packet.dts, packet.publish)
        start, state = self._reader.checkpoint(packet)
        self._emit(
            FileStarted(
                task_id=self._spec.task_id,
                job_id=self._job_id,
                format=self.format,
                sequence=self._sequence,
                start=start or packet.position,
                started_at=self._started_at,
                checkpoint=state | {"not_before": list(packet.position)},
                width=tracks.video.width if tracks.video is not None else 0,
                height=tracks.video.height if tracks.video is not None else 0,
            )
        )
        try:
            self._writer = self._make_writer(tracks)
        except CannotMux as error:
            self._fail(str(error))
        except OSError as error:
            self._refused("cannot be made", error)
        else:
            self._write(packet)

    def _tracks(self, packet: Packet) -> Tracks:
        """What a file that `packet` opens will hold."""
        if packet.is_video:
            return Tracks(cast(VideoTrack, packet.track), cast("AudioTrack | None", self._reader.track(TAG_AUDIO)))
        return Tracks(cast("VideoTrack | None", self._reader.track(TAG_VIDEO)), cast(AudioTrack, packet.track))

    def _make_writer(self, tracks: Tracks) -> FileWriter:
        directory = self._directory
        self._grown_to = 0
        if self.format is not RecordFormat.HLS:
            # Finished slices stay: they may be on their way to the store, and will be made again with the same bytes.
            shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        if self.format is RecordFormat.HLS:
            return HlsWriter(
                directory,
                tracks,
                slice_duration=self._config.slice_duration,
                namer=self._name_slice,
                wall=self._reader.wall,
                on_slice=lambda piece: self._emit(self._slice_ready(directory, piece)),
                on_playlist=lambda path: self._emit(PlaylistReady(self._spec.task_id, self._job_id, path)),
            )
        writer = FlvWriter if self.format is RecordFormat.FLV else Mp4Writer
        return writer(directory / FILE_NAMES[self.format], tracks)

    def _name_slice(self, started_at: float, ended_at: float, number: int) -> str:
        return slice_name(
            self._spec.key,
            self._spec.record_type,
            prefix=self._config.ts_prefix,
            started_at=started_at,
            ended_at=ended_at,
            sequence=number,
        )

    def _slice_ready(self, directory: Path, piece: Slice) -> SliceReady:
        return SliceReady(
            task_id=self._spec.task_id,
            job_id=self._job_id,
            name=piece.name,
            path=directory / piece.name,
            number=piece.number,
            started_at=piece.started_at,
            ended_at=piece.ended_at,
            duration=piece.duration,
            size=piece.size,
        )

    def _close(self, packet: Packet | None) -> None:
        """End the open file before `packet`."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        end = self._stats.end
        try:
            written = writer.close(end)
        except OSError as error:
            self._writer = writer
            self._refused("cannot be completed", error)
            return
        self._cutter.closed()
        start, state = self._reader.checkpoint(packet)
        not_before = packet.position if packet is not None and packet.is_key else start
        end_of_all = SpoolPosition(*(state["read"] or (1, 0)))
        resume = Resume(self._sequence + 1, start or end_of_all, state | {"not_before": list(not_before or end_of_all)})
        self._emit(self._finished(end, written, resume))
        self._sequence += 1
        self.files += 1

    def _finished(self, end: int, written: Written, resume: Resume) -> FileFinished:
        video, audio = self._cutter.video, self._cutter.audio
        return FileFinished(
            task_id=self._spec.task_id,
            job_id=self._job_id,
            format=self.format,
            sequence=self._sequence,
            path=written.path,
            started_at=self._started_at,
            ended_at=self._reader.wall(self._start + end, self._publish),
            duration=end / 1000,
            size=written.size,
            width=video.width if video is not None else 0,
            height=video.height if video is not None else 0,
            video_codec=video.codec.value if video is not None else "",
            audio_codec=audio.codec.value if audio is not None else "",
            report=self._stats.report() | written.report | {"ended_by": self._cutter.reason.value},
            resume=resume,
        )

    def discard(self) -> None:
        """Drop the open file and give its room back."""
        self.abort()
        if self.format is not RecordFormat.HLS:  # slices may be on their way to the store
            shutil.rmtree(self._directory, ignore_errors=True)

    def _refused(self, what: str, error: OSError) -> None:
        """The disk does not take the file; raises NoRoom if that may change."""
        if error.errno in NO_ROOM:
            raise NoRoom(f"{self._directory} {what}: {error}") from error
        self._fail(f"{what}: {error}")

    def _fail(self, error: str) -> None:
        self.failed = True
        log.error("file_failed", task=self._spec.task_id, job=self._job_id, format=self.format.value, error=error)
        self.abort()
        self._emit(FileFailed(self._spec.task_id, self._job_id, self.format, error))

    @property
    def _directory(self) -> Path:
        return self._spec.work_dir / self._spec.task_id / self._job_id

    @property
    def _job_id(self) -> str:
        return job_id(self._spec.task_id, self.format, self._sequence)
