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
)
from sqlalchemy.exc import IntegrityError

from livereel.catalogue.repositories.statements import change, insertion, key_parameters, removal, selection
from livereel.domain.errors import ResourceExists, ResourceNotFound
from livereel.domain.keys import StreamKey

#: Execution option of a statement that may change any number of rows and so may take long.
MANY = "livereel_many"


class Session(Protocol):
    """What repositories need of a connection: SQLAlchemy's asynchronous one, or that of `catalogue.sqlite`."""

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        ...

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[Any]:
        """Run a statement with these parameters; if they are a sequence, once for each."""
        ...

    def begin_nested(self) -> AbstractAsyncContextManager[Any]:
        """Around a statement that may fail: the unit of work stays usable."""
        ...


class Repository:
    """SQL on the connection of one unit of work. `writing` is False in a unit of work that only reads."""

    def __init__(self, connection: Session, *, writing: bool) -> None:
        self._connection = connection
        self._writing = writing

    async def _execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await self._connection.execute(statement, parameters)

    async def _insert(self, table: Table, values: Mapping[str, Any], taken: str) -> None:
        """Raises ResourceExists(`taken`) when a unique value is taken; the unit of work stays usable then."""
        if not await self._insert_unless_taken(table, values):
            raise ResourceExists(taken)

    async def _insert_unless_taken(self, table: Table, values: Mapping[str, Any]) -> bool:
        return (await self._execute(insertion(table, self._connection.dialect.name), values)).first() is not None

    async def _put(self, table: Table, values: Mapping[str, Any]) -> bool:
        """Insert `values`, or set them in the row that has their primary key; True if it was not there."""
        if await self._insert_unless_taken(table, values):
            return True
        key = {column.name: values[column.name] for column in table.primary_key}
        await self._update(table, key, values, missing=f"a row of {table.name} went away")
        return False

    async def _update(
        self, table: Table, key: Mapping[str, Any], values: Mapping[str, Any], *, missing: str, taken: str = ""
    ) -> None:
        """Set `values` in the row with these values of key columns.

        Raises ResourceNotFound(`missing`), and ResourceExists(`taken`) when a unique value is taken.
        """
        statement = change(table, tuple(key))
        try:
            async with self._connection.begin_nested() if taken else nullcontext():
                changed = (await self._execute(statement, {**values, **key_parameters(key)})).rowcount
        except IntegrityError as error:
            if not taken:
                raise
            raise ResourceExists(taken) from error
        if changed == 0:
            raise ResourceNotFound(missing)

    async def _remove(self, table: Table, /, **key: Any) -> bool:
        """Delete the rows with these values; True if there were any."""
        return (await self._execute(removal(table, tuple(key)), key_parameters(key))).rowcount > 0

    async def _delete_many(self, table: Table, rows: ColumnElement[bool]) -> int:
        """How many rows went; nobody knows before how many it will be."""
        return (await self._execute(delete(table).where(rows).execution_options(**{MANY: True}))).rowcount

    async def _row(self, table: Table, /, **key: Any) -> RowMapping | None:
        """The row with these values."""
        return await self._first(selection(table, tuple(key)), key)

    async def _row_to_change(self, table: Table, /, **key: Any) -> RowMapping | None:
        """Like `_row`; where the unit of work writes, nobody else changes the row before it ends.

        SQLite has one writer at a time anyway and leaves FOR UPDATE out.
        """
        return await self._first(selection(table, tuple(key), locks=self._writing), key)

    async def _rows(self, table: Table, /, *order: str, **key: Any) -> list[RowMapping]:
        """All rows with these values, sorted by the columns of `order`."""
        found = await self._execute(selection(table, tuple(key), order), key_parameters(key))
        return list(found.mappings())

    async def _first(self, statement: Select[Any], key: Mapping[str, Any]) -> RowMapping | None:
        row: RowMapping | None = (await self._execute(statement, key_parameters(key))).mappings().first()
        return row

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


def of_stream(key: StreamKey) -> dict[str, str]:
    """A stream key as columns."""
    return {"domain": key.domain, "app": key.app, "stream": key.stream}


def equal(*wanted: tuple[ColumnElement[Any], Any]) -> list[ColumnElement[bool]]:
    """The conditions `column == value`, without those whose value is None: nobody asked for them."""
    return [column == value for column, value in wanted if value is not None]
