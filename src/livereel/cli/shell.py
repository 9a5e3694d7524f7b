"""What all commands share: settings, the catalogue, output as a table or JSON, and how errors are told.

Heavy modules are imported inside functions: `livereel --help` must be instant.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from livereel.domain.errors import LivereelError

if TYPE_CHECKING:
    from livereel.catalogue.port import Catalogue, UnitOfWork
    from livereel.domain.tenancy import Project, User
    from livereel.iam.service import Iam
    from livereel.settings import Settings
    from livereel.storage.port import Stores

EXIT_FAILED, EXIT_USAGE = 1, 2

_COPIED = frozenset({"id", "task", "access"})  # columns that people copy into the next command: never in pieces
_ENDLESS = 100_000  # columns of output that goes into a file or another program

#: Shared by all listing commands.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """What administrative commands work with."""

    settings: "Settings"
    catalogue: "Catalogue"
    iam: "Iam"
    stores: "Stores"

    async def project(self, wanted: str | None) -> "Project":
        """The project of that name or id; without one, the only project there is. Raises LivereelError."""
        found = await self.iam.projects()
        if wanted is not None:
            found = [project for project in found if wanted in {project.id, project.name}]
        if not found:
            raise LivereelError(f"there is no project {wanted}" if wanted else "there is no project yet")
        if len(found) > 1:
            raise LivereelError("there are several projects; choose one with --project NAME")
        return found[0]

    async def user(self, wanted: str) -> "User":
        """The user of that name or id. Raises LivereelError."""
        for user in await self.iam.users():
            if wanted in {user.id, user.name}:
                return user
        raise LivereelError(f"there is no user {wanted}")

    async def read(self, ask: "Callable[[UnitOfWork], Coroutine[Any, Any, Any]]") -> Any:
        """The answer of one question to the catalogue."""
        async with self.catalogue.read() as work:
            return await ask(work)


def settings_of(context: typer.Context) -> "Settings":
    """The settings, from the file that `--config` names or the usual places. Ends the program if they are broken.

    Log lines go to standard error from now on: what a command prints is its answer, to be read by programs too.
    """
    import structlog

    from livereel import settings

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    try:
        return settings.load(context.find_root().obj)
    except settings.BadSettings as problem:
        fail(problem.detail, EXIT_USAGE)


def at_desk(context: typer.Context, work: "Callable[[Desk], Coroutine[Any, Any, Any]]") -> Any:
    """Run `work` on the catalogue; tells errors in one line and ends the program."""
    settings = settings_of(context)

    async def opened() -> Any:
        async with _desk(settings) as desk:
            return await work(desk)

    try:
        return asyncio.run(opened())
    except LivereelError as problem:
        fail(problem.detail)
    except OSError as problem:
        fail(str(problem))


@contextlib.asynccontextmanager
async def _desk(settings: "Settings") -> AsyncIterator[Desk]:
    from livereel.catalogue.engine import open_catalogue
    from livereel.iam.secrets import open_key_file
    from livereel.iam.service import Iam
    from livereel.observe.clock import SystemClock
    from livereel.storage.buckets import Buckets, LocalStores

    if settings.catalogue.url is None and not (settings.data_dir / "catalogue.db").exists():
        raise LivereelError(
            f"{settings.data_dir.absolute()} holds no catalogue yet: start `livereel serve` once, or name its "
            "settings file with --config"
        )
    catalogue = await open_catalogue(settings.catalogue_url())
    try:
        iam = Iam(catalogue, SystemClock(), open_key_file(settings.key_file()))
        yield Desk(
            settings,
            catalogue,
            iam,
            Buckets(
                LocalStores(settings.storage_root().absolute(), create=settings.storage.create_buckets),
                # Only asked where objects are: such commands need no credentials.
                {name: bucket.plain() for name, bucket in settings.storage.buckets.items()},
            ),
        )
    finally:
        await catalogue.close()


def show(columns: Sequence[str], rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str = "none") -> None:
    """Print rows: as JSON with all their members, or as a table of `columns` (member names, spaces for underscores)."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        sys.stdout.write(f"{empty}\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        whole = max(len(cell(row.get(column))) for row in rows) if column in _COPIED else None
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=whole is not None, min_width=whole)
    for row in rows:
        # Text, not markup: names are other people's.
        table.add_row(*(Text(cell(row.get(column))) for column in columns))
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else _ENDLESS).print(table)


def print_json(value: Any) -> None:
    """Print a value as JSON; times stay Unix seconds."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def cell(value: Any) -> str:
    """How a member looks in a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def when(unix: float | None) -> str | None:
    """A time for tables: `2026-07-21 06:15:28Z`."""
    return None if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def bytes_text(size: int | None) -> str | None:
    """A size for tables: `4.2 MiB`."""
    if size is None:
        return None
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong on standard error and end the program."""
    sys.stderr.write(f"livereel: {message}\n")
    raise typer.Exit(code)


def say(message: str) -> None:
    """A line on standard output, at once: the server's first lines must not wait in a buffer for its end."""
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
