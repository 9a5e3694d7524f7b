"""The livereel command in a process that kills itself at a given step: `python -m tests.faults.mortal FILE serve`.

When FILE exists it holds a number, and the process dies by SIGKILL at that step from then on. A step is the moment
before or after anything that outlives the process and that recovery may have to repeat: a transaction, an object that
is stored, a spool or a file that is removed.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from livereel.catalogue.sqlite import SqliteCatalogue
from livereel.cli.main import main
from livereel.spool import recovery
from livereel.storage.local import LocalStore
from tests.faults.pulse import Pulse


class Fate:
    """Counts the steps once the file is there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._left: int | None = None
        self._lock = threading.Lock()  # steps are taken on several threads

    def step(self) -> None:
        with self._lock:
            if self._left is None and self._file.exists():
                self._left = int(self._file.read_text())
            if self._left is None:
                return
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*arguments: Any, **options: Any) -> Any:
            self.step()
            result = call(*arguments, **options)
            self.step()
            return result

        return mortal

    def around_awaited(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def mortal(*arguments: Any, **options: Any) -> Any:
            self.step()
            result = await call(*arguments, **options)
            self.step()
            return result

        return mortal


def instrument(fate: Fate) -> None:
    """Make steps of what changes anything on disk."""
    write = SqliteCatalogue.write

    @contextlib.asynccontextmanager
    async def mortal_write(
        catalogue: SqliteCatalogue, *, durable: bool = True, patient: bool = False
    ) -> AsyncIterator[Any]:
        async with write(catalogue, durable=durable, patient=patient) as uow:
            yield uow
            fate.step()  # nothing of this transaction has happened
        fate.step()  # all of it has, or will if nobody has to rely on it

    SqliteCatalogue.write = mortal_write  # type: ignore[method-assign,assignment]
    for name in ("put_file", "put_bytes"):
        setattr(LocalStore, name, fate.around_awaited(getattr(LocalStore, name)))
    for name in ("recover", "remove", "trim"):
        setattr(recovery, name, fate.around(getattr(recovery, name)))
    shutil.rmtree = fate.around(shutil.rmtree)  # type: ignore[assignment]


if __name__ == "__main__":
    fate = Path(sys.argv.pop(1))
    Pulse(Path(os.environ["LIVEREEL_DATA_DIR"]).with_name("pulse")).watch()
    instrument(Fate(fate))
    main()
