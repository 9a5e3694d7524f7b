"""A short search for new inputs, the same one each time; `make fuzz MINUTES=30` is the long one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.names import NAMES

RUNS = 1500  # inputs per target


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is missing: it has builds for CPython 3.11 to 3.14 on x86-64 Linux only",
)
def test_a_short_search_finds_nothing(tmp_path: Path) -> None:
    # A process of its own: what is fuzzed has to be instrumented while it is imported.
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.campaign", "--json", f"--runs={RUNS}", f"--found={tmp_path}"],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=280,
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert {result["target"] for result in results} == set(NAMES)
    for result in results:
        assert not result["broken"], Path(result["log"]).read_text(errors="replace")[-6000:]
        assert result["runs"] >= RUNS, result
