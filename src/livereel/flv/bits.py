"""A bit reader for codec headers (ITU-T H.264 section 9.1 and AV1 section 4.10 for the variable-length codes)."""

from livereel.flv.tags import FlvError


class BitReader:
    """Reads unsigned numbers from the most significant bit down. Raises FlvError past the end."""

    __slots__ = ("_bits", "_left")

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        """The next `count` bits."""
        self._left -= count
        if self._left < 0:
            raise FlvError("codec header cut short")
        return self._bits >> self._left & (1 << count) - 1

    def flag(self) -> bool:
        """The next bit."""
        return self.read(1) == 1

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        self.read(count)

    def _leading_zeros(self) -> int:
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > 32:
                raise FlvError("codec header holds a number over 32 bits")
        return zeros

    def ue(self) -> int:
        """An unsigned Exp-Golomb number; AV1's uvlc is the same code."""
        zeros = self._leading_zeros()
        return (1 << zeros) - 1 + self.read(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)


def without_emulation_prevention(nal: bytes) -> bytes:
    """The payload of a NAL unit: every 00 00 03 becomes 00 00 (ITU-T H.264 section 7.3.1)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")
