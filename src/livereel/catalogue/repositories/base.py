"""What all repositories share: conflicts as domain errors, and row locks where a row is read to be changed."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Dialect,
    Executable,
    RowMapping,
    Select,
    Table,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from livereel.domain.errors import ResourceExists, ResourceNotFound

#: Execution option of a statement that may change any number of rows and so may take long.
MANY = "livereel_many"


class Session(Protocol):
    """What repositories need of a connection: SQLAlchemy's asynchronous one, or that of `catalogue.sqlite`."""

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        ...

    async def execute(self, statement: Executable, rows: Any = None, /) -> CursorResult[Any]:
        """Run a statement, once for each of `rows` if there are any."""
        ...

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        """Around a statement that may fail: the unit of work stays usable."""
        ...


class Repository:
    """SQL on the connection of one unit of work. `writing` is False in a unit of work that only reads."""

    def __init__(self, connection: Session, *, writing: bool) -> None:
        self._connection = connection
        self._writing = writing

    def _insertion(self, table: Table) -> "postgresql.Insert | sqlite.Insert":
        return postgresql.insert(table) if self._connection.dialect.name == "postgresql" else sqlite.insert(table)

    async def _execute(
        self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await self._connection.execute(statement, rows)

    async def _insert(self, table: Table, values: Mapping[str, Any], taken: str) -> None:
        """Raises ResourceExists(`taken`) when a unique value is taken; the unit of work stays usable then."""
        if not await self._insert_unless_taken(table, values):
            raise ResourceExists(taken)

    async def _insert_unless_taken(self, table: Table, values: Mapping[str, Any]) -> bool:
        # DO NOTHING and not an IntegrityError: in PostgreSQL an error would spoil the whole transaction.
        statement = self._insertion(table).values(values).on_conflict_do_nothing()
        return (await self._execute(statement.returning(*table.primary_key))).first() is not None

    async def _put(self, table: Table, row: ColumnElement[bool], values: Mapping[str, Any]) -> bool:
        """Insert `values`, or set them in `row`, which has their primary key; True if it was not there."""
        if await self._insert_unless_taken(table, values):
            return True
        await self._update(table, row, values, missing=f"a row of {table.name} went away")
        return False

    async def _update(
        self, table: Table, row: ColumnElement[bool], values: Mapping[str, Any], *, missing: str, taken: str = ""
    ) -> None:
        """Raises ResourceNotFound(`missing`), and ResourceExists(`taken`) when a unique value is taken."""
        statement = update(table).where(row).values(values)
        try:
            async with self._connection.begin_nested() if taken else nullcontext():
                changed = (await self._execute(statement)).rowcount
        except IntegrityError as error:
            if not taken:
                raise
            raise ResourceExists(taken) from error
        if changed == 0:
            raise ResourceNotFound(missing)

    async def _delete(self, table: Table, rows: ColumnElement[bool]) -> bool:
        return (await self._execute(delete(table).where(rows))).rowcount > 0

    async def _delete_many(self, table: Table, rows: ColumnElement[bool]) -> int:
        """How many rows went; nobody knows before how many it will be."""
        return (await self._execute(delete(table).where(rows).execution_options(**{MANY: True}))).rowcount

    async def _one(self, statement: Select[Any]) -> RowMapping | None:
        row: RowMapping | None = (await self._execute(statement)).mappings().first()
        return row

    async def _one_to_change(self, statement: Select[Any]) -> RowMapping | None:
        """Like `_one`; where the unit of work writes, nobody else changes the row before it ends.

        SQLite has one writer at a time anyway and leaves FOR UPDATE out.
        """
        return await self._one(statement.with_for_update() if self._writing else statement)

    async def _all(self, statement: Select[Any]) -> list[RowMapping]:
        return list((await self._execute(statement)).mappings())

    async def _page(
        self,
        table: Table,
        where: list[ColumnElement[bool]],
        *order: ColumnElement[Any],
        offset: int,
        limit: int,
    ) -> tuple[int, list[RowMapping]]:
        """How many rows there are in all, and those of a page."""
        rows = await self._all(select(table).where(*where).order_by(*order).offset(offset).limit(limit))
        return await self._total(table, where, offset=offset, limit=limit, found=len(rows)), rows

    async def _total(
        self, table: Table, where: list[ColumnElement[bool]], *, offset: int, limit: int, found: int
    ) -> int:
        """How many rows there are in all, when a page of them has `found`."""
        if 0 < found < limit or found == offset == 0 < limit:
            return offset + found  # the page reaches the end: counting would read it all again
        total: int = (await self._execute(select(func.count()).select_from(table).where(*where))).scalar_one()
        return total


def equal(*wanted: tuple[ColumnElement[Any], Any]) -> list[ColumnElement[bool]]:
    """The conditions `column == value`, without those whose value is None: nobody asked for them."""
    return [column == value for column, value in wanted if value is not None]
