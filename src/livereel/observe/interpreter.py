"""Python and its memory set up for a server: whose turn it is, and what becomes of freed memory."""

import ctypes
import sys

#: Seconds after which a thread that runs lets another one run that waits. Python's own 5 ms are longer than a turn of a
#: loop that is always busy. Each look at the sockets then wakes the thread, a moment too late, and its 5 ms begin anew:
#: a commit was seen to wait for 28 s.
SWITCH_INTERVAL = 0.001
#: Bytes of freed memory that are kept. Ingest takes and frees some 100 MB a second in pieces of up to 300 KB; giving
#: them back to the kernel and asking for them again was 2000 page faults a second at 200 streams, a tenth of its CPU.
KEPT_BYTES = 16 * 1024 * 1024
#: Pieces of more bytes than this are taken from the kernel and given back one by one.
PIECE_BYTES = 1024 * 1024

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def tune() -> None:
    """Set this process up. To be called before other threads start; without glibc memory stays as it is."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, PIECE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
