"""Cutting an input into pieces: what a parser makes of bytes may not depend on how the network cut them."""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any


def cuts(data: bytes) -> list[list[bytes]]:
    """The input in one piece, in a few, and in many; always the same pieces for the same bytes."""
    chance = random.Random(hashlib.blake2b(data, digest_size=8).digest())
    few = _at(data, (chance.randrange(len(data) + 1) for _ in range(3)))
    return [[data], few, _at(data, range(0, len(data), 1 if len(data) < 64 else chance.randrange(1, 200)))]


def _at(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({0, *places, len(data)})
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def outcome(call: Callable[[], Any], *errors: type[Exception]) -> Any:
    """What `call` returns, or the documented error it raises, as its type and text."""
    try:
        return call()
    except errors as error:
        return type(error), str(error)
