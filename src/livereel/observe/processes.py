"""Ties of a process to the one that started it."""

import contextlib
import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, whatever it is doing then: waiting, writing or stopped.

    A worker that outlived its server would go on with files of the same names as the next one. Only Linux does this;
    elsewhere, and if the parent is dead already, a worker ends when it finds its input closed.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # too late for the kernel
        os._exit(0)
