"""The handshake, server side (RTMP specification 1.0, section 5.2).

The simple form is all that publishers need: clients that put a digest into C1 (librtmp, ffmpeg, nginx-rtmp) look at
the version field of S1 and fall back to the simple form when it is 0.
"""

from typing import Final

from livereel.rtmp.errors import ProtocolError

VERSION: Final = 3
C0_C1_SIZE: Final = 1 + 1536
C2_SIZE: Final = 1536

_S1: Final = bytes(8) + bytes(index * 37 & 0xFF for index in range(1528))  # any filler will do: nothing is secret here


def check_version(first: int) -> None:
    """Refuse anything but plain RTMP by its first byte. Raises ProtocolError."""
    if first != VERSION:
        raise ProtocolError(f"the first byte is 0x{first:02x}, not RTMP version 3")


def answer(c0_c1: bytes) -> bytes:
    """S0, S1 and S2 for C0 and C1 (1537 bytes). S2 is C1 again. Raises ProtocolError for another version."""
    check_version(c0_c1[0])
    return bytes((VERSION,)) + _S1 + c0_c1[1:C0_C1_SIZE]
