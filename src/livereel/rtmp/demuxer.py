"""The one switch between the pure-Python chunk reader and its compiled twin.

`LIVEREEL_DEMUXER` is `auto` (the twin if this build has it), `python` or `compiled` (fail without it).
The twin is made from `chunks.py` itself when the package is built with LIVEREEL_COMPILE=1.
"""

import importlib
import os
from typing import cast

from livereel.rtmp import chunks

_TWIN = "livereel.rtmp._chunks_compiled"


def load(choice: str) -> tuple[str, type[chunks.ChunkReader]]:
    """The name and class of the reader for `choice`. Raises ValueError for an unknown or unavailable choice."""
    if choice not in ("auto", "python", "compiled"):
        raise ValueError(f"LIVEREEL_DEMUXER is {choice!r}, must be auto, python or compiled")
    if choice != "python":
        try:
            twin = importlib.import_module(_TWIN)
        except ImportError:
            if choice == "compiled":
                raise ValueError("LIVEREEL_DEMUXER is 'compiled', but this build of livereel has no twin") from None
        else:
            return "compiled", cast("type[chunks.ChunkReader]", twin.ChunkReader)
    return "python", chunks.ChunkReader


_name, ChunkReader = load(os.environ.get("LIVEREEL_DEMUXER", "auto"))


def build() -> str:
    """`compiled` or `python`: which reader is in use."""
    return _name
