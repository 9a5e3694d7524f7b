"""Message payloads that are neither plain audio nor plain video: commands, script data, aggregates."""

from dataclasses import dataclass
from typing import Final

from livereel.amf import amf0
from livereel.amf.values import Value
from livereel.domain.media import TAG_SCRIPT, Tag
from livereel.flv import marks
from livereel.flv.tags import TAG_HEADER_SIZE
from livereel.rtmp import messages
from livereel.rtmp.errors import ProtocolError

_SET_DATA_FRAME: Final = amf0.encode("@setDataFrame")  # "keep this for late players": of no meaning in a recording
_CLEAR_DATA_FRAME: Final = amf0.encode("@clearDataFrame")
_AUDIO_VIDEO_DATA: Final = frozenset((messages.AUDIO, messages.VIDEO, messages.DATA))


@dataclass(frozen=True, slots=True)
class Command:
    """A command message (RTMP specification 1.0, section 7.2). `transaction` 0 wants no answer."""

    name: str
    transaction: float = 0.0
    object: Value = None
    arguments: tuple[Value, ...] = ()
    stream_id: int = 0

    def text(self, index: int) -> str:
        """Argument `index` if it is a string, else an empty one."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""

    def member(self, name: str) -> str:
        """Member `name` of the command object if it is a string, else an empty one."""
        value = self.object.get(name) if isinstance(self.object, dict) else None
        return value if isinstance(value, str) else ""


def parse_command(kind: int, stream_id: int, payload: bytes) -> Command:
    """The command in a message of type 20, or 17 with its leading zero. Raises ProtocolError or AmfError."""
    values = amf0.decode(_without_amf3_byte(payload) if kind == messages.COMMAND_AMF3 else payload)
    if not values or not isinstance(values[0], str):
        raise ProtocolError("a command without a name")
    transaction = values[1] if len(values) > 1 else 0.0
    if not isinstance(transaction, float):
        raise ProtocolError(f"command {values[0][:32]!r} without a transaction number")
    return Command(values[0], transaction, values[2] if len(values) > 2 else None, tuple(values[3:]), stream_id)


def script_tag(kind: int, timestamp: int, payload: bytes) -> Tag | None:
    """A data message (type 18, or 15) as a script tag; None for one that must not reach a recording.

    That is an instruction to forget metadata, or a forged mark: marks are ours alone.
    """
    body = _without_amf3_byte(payload) if kind == messages.DATA_AMF3 else payload
    body = body.removeprefix(_SET_DATA_FRAME)
    tag = Tag(TAG_SCRIPT, timestamp, body)
    if not body or body.startswith(_CLEAR_DATA_FRAME) or marks.is_mark(tag):
        return None
    return tag


def aggregate_messages(timestamp: int, stream_id: int, payload: bytes) -> list[tuple[int, int, int, bytes]]:
    """The messages inside an aggregate (type 22, section 7.1.6): FLV tags whose times count from the first.

    Raises ProtocolError.
    """
    found: list[tuple[int, int, int, bytes]] = []
    first: int | None = None
    at = 0
    while at < len(payload):
        start = at + TAG_HEADER_SIZE
        size = int.from_bytes(payload[at + 1 : at + 4], "big")
        at_end = start + size
        if at_end > len(payload):
            raise ProtocolError("an aggregate message ends inside a tag")
        time = int.from_bytes(payload[at + 4 : at + 7], "big") | payload[at + 7] << 24
        first = time if first is None else first
        if payload[at] in _AUDIO_VIDEO_DATA:
            found.append((payload[at], (timestamp + time - first) & 0xFFFFFFFF, stream_id, payload[start:at_end]))
        at = at_end + 4
    return found


def _without_amf3_byte(payload: bytes) -> bytes:
    """Types 15 and 17 begin with a byte 0, then go on as AMF0 that may switch to AMF3 by a marker."""
    return payload[1:] if payload[:1] == b"\x00" else payload
