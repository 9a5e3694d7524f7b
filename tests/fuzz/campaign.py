"""Looks for inputs that break a target: `python -m tests.fuzz.campaign --minutes 30`, or `make fuzz MINUTES=30`.

Each target runs in a process of its own, as many at a time as there are cores. Inputs that reach something new are kept
in build/fuzz/corpus and are where the next campaign goes on; inputs that break a target are put into build/fuzz/broken.
Such an input belongs into tests/fuzz/corpus together with what makes it harmless.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.names import NAMES

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / "build" / "fuzz"

LONGEST_INPUT = 8192  # bytes: a whole opening of a publisher and its first frames; longer ones only cost time
SLOW_INPUT = 60  # seconds that one input may take before it counts as broken; of the clock, which a busy machine eats
MEMORY_MAX = 1024  # MiB that a target may take


class Result(NamedTuple):
    """How a target did. `broken` are the inputs that broke it."""

    target: str
    runs: int
    seconds: float
    broken: list[Path]
    log: Path

    @property
    def text(self) -> str:
        """One line for people."""
        verdict = "broken by " + ", ".join(map(str, self.broken)) if self.broken else "holds"
        return f"{self.target:20} {self.runs:10,} inputs {self.seconds:8.1f} s  {verdict}"


def campaign(names: list[str], found: Path, *, runs: int = 0, seconds: float = 0.0, jobs: int = 1) -> Iterator[Result]:
    """Fuzz the targets called `names` for `runs` inputs or `seconds` each. Raises ImportError without atheris.

    A number of runs is repeatable: the same inputs are tried each time. `found` keeps what comes out of it.
    """
    targets = _instrumented()
    waiting, running = list(names), dict[int, tuple[str, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop(0)
            process = os.fork()
            if not process:
                _fuzz(name, targets[name], found, runs, seconds)
            running[process] = name, time.monotonic()
        process, status = os.wait()
        name, begun = running.pop(process)
        yield _result(name, found, status, time.monotonic() - begun)


def _instrumented() -> dict[str, Any]:
    """The targets over code that reports which branches it takes."""
    import atheris  # noqa: PLC0415  it has no build for some platforms

    with atheris.instrument_imports(include=["livereel"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415  after instrumentation is on
    return dict(TARGETS)


def _fuzz(name: str, target: Any, found: Path, runs: int, seconds: float) -> None:
    """In a child process; does not return."""
    import atheris  # noqa: PLC0415

    kept, broken = found / "corpus" / name, found / "broken" / name
    for directory in (kept, broken):
        directory.mkdir(parents=True, exist_ok=True)
    log = os.open(found / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    options = [
        f"-runs={runs}" if runs else f"-max_total_time={max(1, round(seconds))}",
        "-seed=1",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={SLOW_INPUT}",
        f"-rss_limit_mb={MEMORY_MAX}",
        f"-artifact_prefix={broken}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(kept), str(CORPUS / name)], target)
    atheris.Fuzz()
    os._exit(0)


def _result(name: str, found: Path, status: int, seconds: float) -> Result:
    log = found / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines()
    runs = next((int(line.split()[-1]) for line in lines if line.startswith("stat::number_of_executed_units")), 0)
    broken = sorted(path for path in (found / "broken" / name).iterdir() if not path.name.startswith("slow-unit"))
    if os.waitstatus_to_exitcode(status) and not broken:
        broken = [log]  # it ended without telling which input did it
    return Result(name, runs, seconds, broken, log)


def main() -> int:
    """Fuzz all targets, or those that are named, and say how they did."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=1.0, help="of all targets together (default 1)")
    options.add_argument("--runs", type=int, default=0, help="inputs per target instead of a time; repeatable")
    options.add_argument("--found", type=Path, default=FOUND, help="where to keep what is found")
    options.add_argument("--json", action="store_true", help="results as lines of JSON")
    options.add_argument("targets", nargs="*", default=[], help=f"of {', '.join(NAMES)} (default all)")
    given = options.parse_args()
    names = given.targets or list(NAMES)
    if unknown := set(names) - set(NAMES):
        options.error(f"unknown target {', '.join(sorted(unknown))}")
    jobs = os.cpu_count() or 1
    ok = True
    seconds = given.minutes * 60 * min(jobs, len(names)) / len(names)
    for result in campaign(names, given.found, runs=given.runs, seconds=seconds, jobs=jobs):
        ok = ok and not result.broken
        plain = result._asdict() | {"broken": list(map(str, result.broken)), "log": str(result.log)}
        print(json.dumps(plain) if given.json else result.text, flush=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
