"""What freed memory costs, counted in a process of its own."""

import ctypes
import subprocess
import sys

import pytest

CHURN = """
import resource, sys
from livereel.observe import interpreter
if sys.argv[1] == "tuned":
    interpreter.tune()
def churn():
    for _ in range(100):
        pieces = [bytes(200_000) for _ in range(20)]
        del pieces
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", CHURN, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_freed_memory_is_used_again() -> None:
    assert faults("tuned") < 1000 < faults("as it is")
