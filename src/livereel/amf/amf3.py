"""AMF3, reading only: what a client with object encoding 3 puts into an AMF0 stream (Adobe AMF3 specification)."""

import struct
from collections.abc import Callable
from typing import Final

from livereel.amf.values import LIMITS, AmfDate, AmfError, AmfLimits, ByteReader, Value

_DOUBLE: Final = struct.Struct(">d")
_VECTOR_ITEM: Final = {0x0D: struct.Struct(">i"), 0x0E: struct.Struct(">I"), 0x0F: _DOUBLE}


def decode(data: bytes, *, limits: AmfLimits = LIMITS) -> list[Value]:
    """All AMF3 values in `data`, in order. Raises AmfError."""
    reader = ByteReader(data, limits)
    values: list[Value] = []
    while not reader.at_end:
        values.append(read(reader, 0))
    return values


def read(reader: ByteReader, depth: int) -> Value:
    """One AMF3 value at the reader's position, `depth` containers deep. Reference tables are per value.

    References to strings and traits are followed. References to objects are refused: no encoder sends them and they
    allow cycles and exponential growth. Raises AmfError.
    """
    return _Amf3(reader).value(depth)


class _Traits:
    __slots__ = ("dynamic", "names")

    def __init__(self, names: list[str], dynamic: bool) -> None:
        self.names = names
        self.dynamic = dynamic


class _Amf3:
    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._strings: list[str] = []
        self._traits: list[_Traits] = []
        self._readers: dict[int, Callable[[int], Value]] = {
            0x00: lambda _: None,
            0x01: lambda _: None,
            0x02: lambda _: False,
            0x03: lambda _: True,
            0x04: self._integer,
            0x05: self._double,
            0x06: lambda _: self._string(),
            0x07: self._xml,
            0x08: self._date,
            0x09: self._array,
            0x0A: self._object,
            0x0B: self._xml,
            0x0C: self._byte_array,
            0x0D: lambda depth: self._numbers(0x0D, depth),
            0x0E: lambda depth: self._numbers(0x0E, depth),
            0x0F: lambda depth: self._numbers(0x0F, depth),
            0x10: self._object_vector,
            0x11: self._dictionary,
        }

    def value(self, depth: int) -> Value:
        self._reader.count_value(depth)
        marker = self._reader.byte()
        read_value = self._readers.get(marker)
        if read_value is None:
            raise AmfError(f"AMF3 marker 0x{marker:02x} at byte {self._reader.position - 1}")
        return read_value(depth)

    def _u29(self) -> int:
        number = 0
        for _ in range(3):
            byte = self._reader.byte()
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._reader.byte()

    def _inline(self) -> int:
        """The upper 28 bits of a header whose lowest bit says that the value follows here."""
        header = self._u29()
        if not header & 1:
            raise AmfError("AMF3 object reference")
        return header >> 1

    def _integer(self, _depth: int) -> float:
        number = self._u29()
        return float(number - (1 << 29) if number & 1 << 28 else number)

    def _double(self, _depth: int) -> float:
        number: float = _DOUBLE.unpack(self._reader.take(8))[0]
        return number

    def _string(self) -> str:
        header = self._u29()
        if not header & 1:
            if header >> 1 >= len(self._strings):
                raise AmfError(f"AMF3 string reference {header >> 1} of {len(self._strings)}")
            return self._strings[header >> 1]
        text = self._reader.text(header >> 1)
        if text:
            self._strings.append(text)
        return text

    def _xml(self, _depth: int) -> str:
        return self._reader.text(self._inline())

    def _date(self, depth: int) -> AmfDate:
        self._inline()
        return AmfDate(self._double(depth))

    def _byte_array(self, _depth: int) -> bytes:
        return self._reader.take(self._inline())

    def _array(self, depth: int) -> Value:
        count = self._inline()
        named = self._named(depth)
        items = [self.value(depth + 1) for _ in range(count)]
        if not named:
            return items
        named.update((str(index), item) for index, item in enumerate(items))
        return named

    def _named(self, depth: int) -> dict[str, Value]:
        members: dict[str, Value] = {}
        while key := self._string():
            members[key] = self.value(depth + 1)
        return members

    def _object(self, depth: int) -> dict[str, Value]:
        traits = self._read_traits(self._inline())
        members: dict[str, Value] = {name: self.value(depth + 1) for name in traits.names}
        if traits.dynamic:
            members.update(self._named(depth))
        return members

    def _read_traits(self, header: int) -> _Traits:
        if not header & 1:
            if header >> 1 >= len(self._traits):
                raise AmfError(f"AMF3 traits reference {header >> 1} of {len(self._traits)}")
            return self._traits[header >> 1]
        if header & 2:
            raise AmfError("AMF3 externalizable object")
        self._string()
        names = []
        for _ in range(header >> 3):
            self._reader.count_value(0)
            names.append(self._string())
        traits = _Traits(names, bool(header & 4))
        self._traits.append(traits)
        return traits

    def _numbers(self, marker: int, depth: int) -> list[Value]:
        count = self._inline()
        self._reader.byte()
        numbers: list[Value] = []
        item = _VECTOR_ITEM[marker]
        for _ in range(count):
            self._reader.count_value(depth + 1)
            numbers.append(float(item.unpack(self._reader.take(item.size))[0]))
        return numbers

    def _object_vector(self, depth: int) -> list[Value]:
        count = self._inline()
        self._reader.byte()
        self._string()
        return [self.value(depth + 1) for _ in range(count)]

    def _dictionary(self, depth: int) -> dict[str, Value]:
        count = self._inline()
        self._reader.byte()
        members: dict[str, Value] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            members[str(key)] = self.value(depth + 1)
        return members
