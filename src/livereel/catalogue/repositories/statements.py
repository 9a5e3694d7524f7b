"""The statements that find, add, change and remove rows by the values of some columns, each built once.

Building a statement and finding its compiled form costs SQLAlchemy several times what SQLite takes to run it, and a
START or STOP with what follows runs some thirty of them. Here each is an object that is kept, its values parameters.
Statements of any other shape are built where they are used.
"""

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Delete, Insert, Select, Table, Update, and_, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

# In front of the column's name: plain names are taken by the values that are set.
_PREFIX = "this_"


def key_parameters(key: Mapping[str, Any]) -> dict[str, Any]:
    """The values of key columns as the statements here expect them."""
    return {_PREFIX + name: value for name, value in key.items()}


@functools.cache
def selection(table: Table, key: tuple[str, ...], order: tuple[str, ...] = (), *, locks: bool = False) -> Select[Any]:
    """All columns of the rows whose `key` columns have given values; `locks`: nobody else changes them meanwhile."""
    statement = select(table).where(_is(table, key)).order_by(*(table.c[name] for name in order))
    return statement.with_for_update() if locks else statement


@functools.cache
def insertion(table: Table, dialect: str) -> Insert:
    """A row with the given values, unless a unique value of it is taken; returns its primary key if it was added."""
    # DO NOTHING and not an IntegrityError: in PostgreSQL an error would spoil the whole transaction.
    statement = insert(table, dialect).on_conflict_do_nothing()
    return statement.returning(*table.primary_key)


@functools.cache
def change(table: Table, key: tuple[str, ...]) -> Update:
    """The given values in the rows whose `key` columns have given values."""
    return update(table).where(_is(table, key))


@functools.cache
def removal(table: Table, key: tuple[str, ...]) -> Delete:
    """Without the rows whose `key` columns have given values."""
    return delete(table).where(_is(table, key))


def insert(table: Table, dialect: str) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that may say what to do about conflicts."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _is(table: Table, key: tuple[str, ...]) -> Any:
    return and_(*(table.c[name] == bindparam(_PREFIX + name, type_=table.c[name].type) for name in key))
