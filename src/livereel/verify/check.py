"""A file read again from its first byte to its last in one pass: hashed, taken apart, compared, tried."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import av
from av.container import InputContainer
from isal import isal_zlib

from livereel.domain.templates import RecordFormat
from livereel.domain.verification import Damage, DamageReason, Verdict, Verification, VerifyLevel
from livereel.verify.compare import DURATION_TOLERANCE, TrackRead, differences
from livereel.verify.decode import AudioTrial, VideoTrial, trial
from livereel.verify.objects import Hashed, HashedFile, Progress, SeekableFile
from livereel.verify.request import Account, CheckRequest

#: One format each, so that a file that is something else is not taken for what it may be.
_DEMUXERS: Final = {RecordFormat.FLV: "flv", RecordFormat.MP4: "mov", RecordFormat.HLS: "mpegts"}
#: A file where everything is wrong need not say so a thousand times.
_MAX_DAMAGES: Final = 20
_BUFFER_BYTES: Final = 256 * 1024
_KINDS: Final = ("video", "audio")
#: Text of encoders that is no UTF-8 is no damage. PyAV 19 takes it as it is; before, it has to be told.
_ODD_METADATA: Final[dict[str, Any]] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

av.logging.set_level(None)  # what goes wrong comes as an exception and is part of the verdict


def check(request: CheckRequest, progress: Progress) -> Verdict:
    """The verdict on a file. Raises nothing that the file could be the cause of."""
    return _Check(request, progress).run()


class _Check:
    def __init__(self, request: CheckRequest, progress: Progress) -> None:
        self._path = request.path
        self._account = request.account
        self._level = request.level
        self._progress = progress
        self._damages: list[Damage] = []
        self._sha256: str | None = None

    def run(self) -> Verdict:
        if self._account.format is RecordFormat.HLS:
            self._hls()
        else:
            self._single()
        if self._level is VerifyLevel.OFF and not self._damages:
            return Verdict(Verification.OFF, (), self._sha256)
        found = tuple(self._damages[:_MAX_DAMAGES])
        return Verdict(Verification.DAMAGED if found else Verification.VERIFIED, found, self._sha256)

    def _single(self) -> None:
        try:
            if self._account.format is RecordFormat.MP4:
                source: HashedFile = SeekableFile(self._path, self._progress)
            else:
                source = HashedFile([self._path], self._progress)
        except OSError as error:
            self._unopened(self._path.name, error)
            return
        if self._level is not VerifyLevel.OFF:
            self._demux(source)
        for name, found in self._finish(source, [self._path]):
            self._sha256 = found.sha256
            self._compare_object("", name, found, self._account.main_size, self._account.sha256)

    def _hls(self) -> None:
        text = self._playlist()
        there = []
        for piece in self._account.slices:
            if (path := self._path.parent / piece["name"]).is_file():
                there.append(path)
            else:
                self._damages.append(Damage(DamageReason.MISSING, "the slice is not there", piece["name"]))
        if text is not None and self._level is not VerifyLevel.OFF:
            self._compare_playlist(text)
        if not there:
            return
        try:
            source = HashedFile(there, self._progress)
        except OSError as error:
            self._unopened(there[0].name, error)
            return
        if self._level is not VerifyLevel.OFF:
            self._demux(source)
        account = {piece["name"]: piece for piece in self._account.slices}
        for name, found in self._finish(source, there):
            self._compare_object(name, name, found, account[name]["size"], account[name].get("sha256"))

    def _playlist(self) -> str | None:
        try:
            source = HashedFile([self._path], self._progress)
        except OSError as error:
            self._unopened(self._path.name, error)
            return None
        for name, found in self._finish(source, [self._path]):
            self._sha256 = found.sha256
            self._compare_object("", name, found, self._account.main_size, self._account.sha256)
        try:
            return self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self._damages.append(Damage(DamageReason.PLAYLIST, f"it cannot be read: {error}"))
            return None

    def _compare_playlist(self, text: str) -> None:
        lines = text.splitlines()
        named = [unquote(line) for line in lines if line and not line.startswith("#")]
        expected = [piece["name"] for piece in self._account.slices]
        if named != expected:
            lacking, extra = sorted(set(expected) - set(named)), sorted(set(named) - set(expected))
            what = [f"it does not name {lacking[0]}"] if lacking else []
            what += [f"it names {extra[0]}"] if extra else []
            self._damages.append(Damage(DamageReason.PLAYLIST, ", ".join(what) or "it names slices out of order"))
        if lines[-1:] != ["#EXT-X-ENDLIST"]:
            self._damages.append(Damage(DamageReason.PLAYLIST, "it does not end"))
        said = 0.0
        for line in lines:
            if line.startswith("#EXTINF:"):
                try:
                    said += float(line.removeprefix("#EXTINF:").partition(",")[0])
                except ValueError:
                    self._damages.append(Damage(DamageReason.PLAYLIST, f"a line cannot be read: {line[:80]}"))
        if abs(said - self._account.duration) > DURATION_TOLERANCE:
            detail = f"the playlist says {said:.3f} s instead of {self._account.duration:.3f} s"
            self._damages.append(Damage(DamageReason.DURATION, detail))

    def _finish(self, source: HashedFile, paths: list[Path]) -> Iterator[tuple[str, Hashed]]:
        try:
            found = source.finish()
        except OSError as error:
            self._unopened("", error)
            return
        yield from zip([path.name for path in paths], found, strict=True)

    def _compare_object(self, told: str, name: str, found: Hashed, size: int | None, sha256: str | None) -> None:
        if size is not None and found.size != size:
            self._damages.append(Damage(DamageReason.SIZE, f"{found.size} bytes instead of {size}", told))
        elif sha256 and found.sha256 != sha256:
            detail = f"the SHA-256 of {name} is {found.sha256} instead of {sha256}"
            self._damages.append(Damage(DamageReason.CHECKSUM, detail, told))

    def _unopened(self, name: str, error: OSError) -> None:
        reason = DamageReason.MISSING if isinstance(error, FileNotFoundError) else DamageReason.UNREADABLE
        self._damages.append(Damage(reason, error.strerror or str(error), name))

    def _demux(self, source: HashedFile) -> None:
        """Take the file apart; what is wrong goes to the damages."""
        reading = _Reading(source, self._account, self._level)
        try:
            form = _DEMUXERS[self._account.format]
            with av.open(source, format=form, buffer_size=_BUFFER_BYTES, **_ODD_METADATA) as container:
                assert isinstance(container, InputContainer)
                reading.read(container)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._damages.append(Damage(DamageReason.UNREADABLE, str(error)[:200]))
        self._damages += reading.damages()


class _Reading:
    """Every packet of an open container."""

    def __init__(self, source: HashedFile, account: Account, level: VerifyLevel) -> None:
        self._source = source
        self._account = account
        self._level = level
        self._tracks: dict[str, TrackRead] = {}
        self._trials: dict[str, VideoTrial | AudioTrial] = {}
        self._duration: float | None = None
        self._video_at = -1  # position of the latest video packet
        self._headless: list[int] = []  # slices that do not begin with a key frame

    def read(self, container: InputContainer) -> None:
        """Raises av.FFmpegError or OSError where the file cannot be read any further."""
        is_hls = self._account.format is RecordFormat.HLS
        kinds: dict[int, str] = {}
        for stream in container.streams:
            if stream.type in _KINDS and stream.type not in self._tracks:
                kinds[stream.index] = stream.type
                context = stream.codec_context
                self._tracks[stream.type] = TrackRead("" if context is None else context.name)
                if (tried := trial(stream, self._level)) is not None:
                    self._trials[stream.type] = tried
        if not is_hls and container.duration is not None:
            start = (container.start_time or 0) if self._account.format is RecordFormat.MP4 else 0
            self._duration = (start + container.duration) / 1_000_000
        for packet in container.demux():
            kind = kinds.get(packet.stream_index)
            if packet.dts is None or kind is None:
                continue
            track = self._tracks[kind]
            dts = float(packet.dts * packet.time_base) * 1000
            track.add(dts, is_key=packet.is_keyframe, wraps=is_hls)
            track.size += packet.size
            track.content = isal_zlib.crc32(packet, track.content)
            if is_hls and kind == "video" and packet.pos is not None:
                if self._source.begins_path(packet.pos, self._video_at) and not packet.is_keyframe:
                    self._headless.append(self._source.path_at(packet.pos))
                self._video_at = packet.pos
            if (tried := self._trials.get(kind)) is not None:
                tried.take(packet)
        for tried in self._trials.values():
            tried.finish()

    def damages(self) -> Iterator[Damage]:
        """What the numbers say."""
        yield from differences(self._account, self._tracks, self._duration)
        for index in self._headless[1:] if self._headless[:1] == [0] else self._headless:
            name = self._account.slices[index]["name"] if index < len(self._account.slices) else ""
            yield Damage(DamageReason.KEY_FRAME_FIRST, "the slice does not begin with a key frame", name)
        for kind, tried in self._trials.items():
            if tried.failures:
                where = "" if tried.first_failure is None else f", the first at {tried.first_failure:.3f} s"
                what = "frames" if kind == "video" else "packets"
                detail = f"{tried.failures} of {tried.tried} {kind} {what} cannot be decoded{where}"
                yield Damage(DamageReason.UNDECODABLE, detail)
