"""One TS slice: a file of its own that continues the one before, down to the continuity counters.

Each slice gets a muxer of its own, because closing a muxer is the only way to have libav put exactly the packets of a
slice into it. A new muxer counts from 0 again, so the counters (ISO/IEC 13818-1, 2.4.3.3) are moved on the way out.
"""

import hashlib
from pathlib import Path
from typing import Final

from livereel.recorder.muxing.libav import Muxer
from livereel.recorder.packets import Packet, Tracks

_TS_PACKET: Final = 188
_BUFFER_BYTES: Final = _TS_PACKET * 512
# PIDs whose low bytes differ (PAT 0x0000, SDT 0x0011), so that one byte tells them apart. PAT, PMT and SDT stand at the
# start of each slice and need no repetition: a slice is fetched as a whole.
_OPTIONS: Final = {
    "mpegts_pmt_start_pid": str(0x1010),
    "mpegts_start_pid": str(0x0101),
    "pat_period": "3600",
    "sdt_period": "3600",
}
_PIDS: Final = bytes((0x00, 0x10, 0x11, 0x01, 0x02))
_SHIFT: Final = [bytes((byte & 0xF0) | ((byte + shift) & 0x0F) for byte in range(256)) for shift in range(16)]


class Continuity:
    """The next continuity counter of each PID, across the slices of one file."""

    def __init__(self) -> None:
        self._next = dict.fromkeys(_PIDS, 0)

    def shifts(self) -> dict[int, int]:
        """What a slice that counts from 0 has to add, by low byte of the PID."""
        return dict(self._next)

    def advance(self, pid: int, last: int) -> None:
        """`last` was the latest counter of a PID."""
        self._next[pid] = (last + 1) & 0x0F


class TsSlice:
    """A slice being written to `path`."""

    def __init__(self, path: Path, tracks: Tracks, continuity: Continuity) -> None:
        self.path = path
        self._sink = _Sink(path, continuity)
        try:
            self._muxer = Muxer(self._sink, "mpegts", tracks, _OPTIONS, buffer_size=_BUFFER_BYTES)
        except BaseException:
            self._sink.close()
            raise

    def write(self, packet: Packet, dts: int) -> None:
        """Append a packet. Raises BadPacket or OSError."""
        self._muxer.write(packet, dts)
        if self._sink.error is not None:
            raise self._sink.error

    def close(self) -> tuple[int, str]:
        """Complete the slice; gives its size and SHA-256. Raises OSError."""
        try:
            self._muxer.close()
        finally:
            self._sink.close()
        if self._sink.error is not None:
            raise self._sink.error
        return self._sink.size, self._sink.digest.hexdigest()

    def abort(self) -> None:
        """Let go of the slice."""
        self._muxer.abort()
        self._sink.close()


class _Sink:
    """The file object libav writes to."""

    def __init__(self, path: Path, continuity: Continuity) -> None:
        self._file = path.open("wb", buffering=0)
        self._continuity = continuity
        self._tables = {pid: _SHIFT[shift] for pid, shift in continuity.shifts().items()}
        self._rest = b""
        self.size = 0
        self.digest = hashlib.sha256()
        self.error: OSError | None = None  # libav reports an error of ours as a nameless one of its own

    def write(self, data: bytes) -> int:
        """Called by libav with pieces that are mostly whole TS packets."""
        if self.error is None:
            buffer = bytearray(self._rest + data)
            whole = len(buffer) - len(buffer) % _TS_PACKET
            self._rest = bytes(buffer[whole:])
            del buffer[whole:]
            self._continue(buffer)
            self.digest.update(buffer)
            self.size += len(buffer)
            try:
                self._write_all(memoryview(buffer))
            except OSError as error:
                self.error = error
        return len(data)

    def close(self) -> None:
        self._file.close()

    def _continue(self, buffer: bytearray) -> None:
        tables = self._tables
        pids = bytes(buffer[2::_TS_PACKET])
        counters = bytes([tables[pid][byte] for pid, byte in zip(pids, buffer[3::_TS_PACKET], strict=True)])
        buffer[3::_TS_PACKET] = counters
        for pid in _PIDS:
            if (last := pids.rfind(pid)) >= 0:
                self._continuity.advance(pid, counters[last] & 0x0F)

    def _write_all(self, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += self._file.write(data[done:]) or 0
