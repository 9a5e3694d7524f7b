"""AMF0: the encoding of RTMP commands and FLV script data (Adobe AMF0 specification, section 2)."""

import struct
from collections.abc import Callable
from typing import Final

from livereel.amf import amf3
from livereel.amf.values import LIMITS, AmfDate, AmfError, AmfLimits, ByteReader, EcmaArray, Value

_NUMBER: Final = 0x00
_BOOLEAN: Final = 0x01
_STRING: Final = 0x02
_OBJECT: Final = 0x03
_NULL: Final = 0x05
_UNDEFINED: Final = 0x06
_ECMA_ARRAY: Final = 0x08
_OBJECT_END: Final = 0x09
_STRICT_ARRAY: Final = 0x0A
_DATE: Final = 0x0B
_LONG_STRING: Final = 0x0C
_UNSUPPORTED: Final = 0x0D
_XML_DOCUMENT: Final = 0x0F
_TYPED_OBJECT: Final = 0x10
_AVMPLUS: Final = 0x11

_SHORT_STRING_MAX: Final = 0xFFFF  # bytes; longer ones take the long-string marker
_END: Final = b"\x00\x00\x09"
_DOUBLE: Final = struct.Struct(">d")


def decode(data: bytes, *, limits: AmfLimits = LIMITS) -> list[Value]:
    """All values in `data`, in order. Undefined and unsupported become None, numbers are float.

    References (marker 7) are refused: no encoder sends them and they allow cycles and exponential growth.
    Raises AmfError.
    """
    reader = ByteReader(data, limits)
    values: list[Value] = []
    while not reader.at_end:
        values.append(_read(reader, 0))
    return values


def decode_first(data: bytes, *, limits: AmfLimits = LIMITS) -> tuple[Value, int]:
    """The first value of `data` and the number of bytes it takes. Raises AmfError."""
    reader = ByteReader(data, limits)
    value = _read(reader, 0)
    return value, reader.position


def encode(*values: Value) -> bytes:
    """The AMF0 form of `values`, one after the other. Raises AmfError for a value AMF0 cannot carry (bytes)."""
    out = bytearray()
    for value in values:
        _write(out, value)
    return bytes(out)


def _read(reader: ByteReader, depth: int) -> Value:
    reader.count_value(depth)
    marker = reader.byte()
    read = _READERS.get(marker)
    if read is None:
        raise AmfError(f"AMF0 marker 0x{marker:02x} at byte {reader.position - 1}")
    return read(reader, depth)


def _read_number(reader: ByteReader, _depth: int) -> float:
    number: float = _DOUBLE.unpack(reader.take(8))[0]
    return number


def _read_boolean(reader: ByteReader, _depth: int) -> bool:
    return reader.byte() != 0


def _read_string(reader: ByteReader, _depth: int) -> str:
    return reader.text(reader.unsigned(2))


def _read_long_string(reader: ByteReader, _depth: int) -> str:
    return reader.text(reader.unsigned(4))


def _read_nothing(_reader: ByteReader, _depth: int) -> None:
    return None


def _read_object(reader: ByteReader, depth: int) -> dict[str, Value]:
    return _read_members(reader, depth, open_ended=False)


def _read_typed_object(reader: ByteReader, depth: int) -> dict[str, Value]:
    reader.take(reader.unsigned(2))
    return _read_members(reader, depth, open_ended=False)


def _read_ecma_array(reader: ByteReader, depth: int) -> dict[str, Value]:
    reader.take(4)  # the member count is only a hint and often wrong; the end marker decides
    return _read_members(reader, depth, open_ended=True)


def _read_members(reader: ByteReader, depth: int, *, open_ended: bool) -> dict[str, Value]:
    members: dict[str, Value] = {}
    while True:
        if open_ended and reader.at_end:
            return members  # some encoders leave out the end marker of the array that ends the message
        key = reader.text(reader.unsigned(2))
        if not key and not reader.at_end and reader.data[reader.position] == _OBJECT_END:
            reader.position += 1
            return members
        members[key] = _read(reader, depth + 1)


def _read_strict_array(reader: ByteReader, depth: int) -> list[Value]:
    return [_read(reader, depth + 1) for _ in range(reader.unsigned(4))]


def _read_date(reader: ByteReader, depth: int) -> AmfDate:
    milliseconds = _read_number(reader, depth)
    reader.take(2)
    return AmfDate(milliseconds)


def _read_avmplus(reader: ByteReader, depth: int) -> Value:
    return amf3.read(reader, depth)


_READERS: Final[dict[int, Callable[[ByteReader, int], Value]]] = {
    _NUMBER: _read_number,
    _BOOLEAN: _read_boolean,
    _STRING: _read_string,
    _OBJECT: _read_object,
    _NULL: _read_nothing,
    _UNDEFINED: _read_nothing,
    _ECMA_ARRAY: _read_ecma_array,
    _STRICT_ARRAY: _read_strict_array,
    _DATE: _read_date,
    _LONG_STRING: _read_long_string,
    _UNSUPPORTED: _read_nothing,
    _XML_DOCUMENT: _read_long_string,
    _TYPED_OBJECT: _read_typed_object,
    _AVMPLUS: _read_avmplus,
}


def _write(out: bytearray, value: Value) -> None:
    if value is None:
        out.append(_NULL)
    elif isinstance(value, bool):
        out += bytes((_BOOLEAN, value))
    elif isinstance(value, int | float):
        out.append(_NUMBER)
        out += _DOUBLE.pack(value)
    elif isinstance(value, str):
        _write_string(out, value)
    elif isinstance(value, AmfDate):
        out.append(_DATE)
        out += _DOUBLE.pack(value.milliseconds) + b"\x00\x00"
    elif isinstance(value, dict):
        _write_members(out, value)
    elif isinstance(value, list):
        out.append(_STRICT_ARRAY)
        out += len(value).to_bytes(4, "big")
        for item in value:
            _write(out, item)
    else:
        raise AmfError(f"AMF0 has no form for {type(value).__name__}")


def _write_string(out: bytearray, text: str) -> None:
    data = text.encode("utf-8", "replace")
    if len(data) <= _SHORT_STRING_MAX:
        out.append(_STRING)
        out += len(data).to_bytes(2, "big")
    else:
        out.append(_LONG_STRING)
        out += len(data).to_bytes(4, "big")
    out += data


def _write_members(out: bytearray, members: dict[str, Value]) -> None:
    if isinstance(members, EcmaArray):
        out.append(_ECMA_ARRAY)
        out += len(members).to_bytes(4, "big")
    else:
        out.append(_OBJECT)
    for key, value in members.items():
        name = key.encode("utf-8", "replace")
        if len(name) > _SHORT_STRING_MAX:
            raise AmfError(f"AMF0 member name of {len(name)} bytes, more than {_SHORT_STRING_MAX}")
        out += len(name).to_bytes(2, "big") + name
        _write(out, value)
    out += _END
