"""What both AMF versions share: the Python values, the limits, the error and the bounded byte reader."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class AmfError(ValueError):
    """The bytes are not AMF, or exceed the limits; or a value has no AMF form."""


class AmfDate(NamedTuple):
    """A point in time: `milliseconds` since 1970 UTC. The wire's time zone field is reserved and ignored."""

    milliseconds: float


Value: TypeAlias = "bool | float | str | bytes | AmfDate | list[Value] | dict[str, Value] | None"


class EcmaArray(dict[str, Value]):
    """A dict that is encoded as an AMF0 ECMA array, the form players expect of `onMetaData`."""


@dataclass(frozen=True, slots=True)
class AmfLimits:
    """Bounds of one decode call.

    `depth` is nested containers, `members` counts every value of the call, `size` is bytes.
    """

    depth: int = 16  # real commands nest 2-3 deep; 70 000 nested arrays are a known crash of other readers
    members: int = 1000  # real onMetaData has about 30; bounds the work and memory of one message
    size: int = 64 * 1024  # the largest real command (connect with capability maps) is a few KiB


LIMITS = AmfLimits()


class ByteReader:
    """A cursor over `data` that raises AmfError instead of reading past the end, and counts values and depth."""

    __slots__ = ("_limits", "_members", "data", "position")

    def __init__(self, data: bytes, limits: AmfLimits) -> None:
        if len(data) > limits.size:
            raise AmfError(f"{len(data)} bytes of AMF, more than the limit of {limits.size}")
        self.data = data
        self.position = 0
        self._limits = limits
        self._members = 0

    @property
    def at_end(self) -> bool:
        """True when every byte was read."""
        return self.position >= len(self.data)

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        stop = self.position + count
        if stop > len(self.data):
            raise AmfError(f"AMF ends at byte {len(self.data)}, {stop - len(self.data)} short")
        taken = self.data[self.position : stop]
        self.position = stop
        return taken

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def unsigned(self, width: int) -> int:
        """The next `width` bytes as a big-endian number."""
        return int.from_bytes(self.take(width), "big")

    def text(self, length: int) -> str:
        """`length` bytes of UTF-8. Broken sequences become U+FFFD, which no name grammar lets through."""
        return self.take(length).decode("utf-8", "replace")

    def count_value(self, depth: int) -> None:
        """Account for one more value inside `depth` containers."""
        self._members += 1
        if self._members > self._limits.members:
            raise AmfError(f"more than {self._limits.members} AMF values in one message")
        if depth > self._limits.depth:
            raise AmfError(f"AMF nested deeper than {self._limits.depth}")
