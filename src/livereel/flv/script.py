"""Script data: the name and values of `onMetaData` and its relatives (FLV specification 10.1, annex E.4.4)."""

from collections.abc import Mapping

from livereel.amf import amf0
from livereel.amf.values import LIMITS, AmfError, AmfLimits, EcmaArray, Value
from livereel.flv.tags import FlvError


def parse_script(body: bytes, *, limits: AmfLimits = LIMITS) -> tuple[str, dict[str, Value]]:
    """The name and members of a script tag body; no members if its value is not an object. Raises FlvError."""
    try:
        values = amf0.decode(body, limits=limits)
    except AmfError as error:
        raise FlvError(f"script data: {error}") from error
    if not values or not isinstance(values[0], str):
        raise FlvError("script data does not begin with a name")
    members = next((value for value in values[1:] if isinstance(value, dict)), {})
    return values[0], members


def encode_script(name: str, values: Mapping[str, Value]) -> bytes:
    """A script tag body: `name` and `values` as an ECMA array. Raises AmfError for values AMF0 cannot carry."""
    return amf0.encode(name, EcmaArray(values))
