"""Notification settings and the outbox."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, literal_column, select

from livereel.catalogue import tables
from livereel.catalogue.repositories.base import Repository
from livereel.domain.messages import Delivery, MessageState, NotificationConfig, OutboxMessage

# A literal and not a parameter: only so may the databases use the index that holds pending messages alone.
_PENDING: ColumnElement[str] = literal_column(f"'{MessageState.PENDING}'")


class SqlNotifications(Repository):
    """`port.Notifications`."""

    async def get(self, domain: str) -> NotificationConfig | None:
        row = await self._one(select(tables.notifications).where(tables.notifications.c.domain == domain))
        return NotificationConfig(**row) if row else None

    async def put(self, config: NotificationConfig) -> bool:
        values = asdict(config)
        if await self._insert_unless_taken(tables.notifications, values):
            return True
        row = tables.notifications.c.domain == config.domain
        await self._update(tables.notifications, row, values, missing=f"no notifications for {config.domain}")
        return False

    async def delete(self, domain: str) -> bool:
        return await self._delete(tables.notifications, tables.notifications.c.domain == domain)


class SqlOutbox(Repository):
    """`port.Outbox`."""

    async def add(self, message: OutboxMessage) -> int:
        if self._connection.dialect.name == "postgresql":
            # Ids are given out before commit. Without this lock a message could become visible, and be delivered,
            # before an older one of its channel. SQLite has one writer at a time.
            await self._execute(select(func.pg_advisory_xact_lock(func.hashtext(message.channel))))
        values = asdict(message)
        del values["id"]
        statement = self._insertion(tables.outbox).values(values).returning(tables.outbox.c.id)
        return int((await self._execute(statement)).scalar_one())

    async def due(self, now: float, *, limit: int) -> list[OutboxMessage]:
        c = tables.outbox.c
        statement = select(tables.outbox).where(c.id.in_(_heads()), c.due_at <= now).order_by(c.id).limit(limit)
        return [_message(row) for row in await self._all(statement)]

    async def next_due_at(self) -> float | None:
        c = tables.outbox.c
        earliest: float | None = (
            await self._execute(select(func.min(c.due_at)).where(c.id.in_(_heads())))
        ).scalar_one()
        return earliest

    async def get(self, message_id: int) -> OutboxMessage | None:
        row = await self._one(select(tables.outbox).where(tables.outbox.c.id == message_id))
        return _message(row) if row else None

    async def pending(self) -> int:
        statement = select(func.count()).select_from(tables.outbox).where(tables.outbox.c.state == _PENDING)
        return int((await self._execute(statement)).scalar_one())

    async def delete_settled(self, before: float, *, limit: int) -> int:
        c = tables.outbox.c
        old = select(c.id).where(c.state != _PENDING, c.created_at < before).order_by(c.id).limit(limit)
        return (await self._execute(delete(tables.outbox).where(c.id.in_(old)))).rowcount

    async def update(self, message: OutboxMessage) -> None:
        row = tables.outbox.c.id == message.id
        await self._update(tables.outbox, row, asdict(message), missing=f"there is no message {message.id}")

    async def log(self, delivery: Delivery) -> None:
        await self._execute(self._insertion(tables.deliveries).values(asdict(delivery)))

    async def deliveries(self, message_id: int) -> list[Delivery]:
        c = tables.deliveries.c
        statement = select(c.message_id, c.attempted_at, c.duration, c.status, c.error)
        rows = await self._all(statement.where(c.message_id == message_id).order_by(c.id))
        return [Delivery(**row) for row in rows]

    async def list(self, *, state: str | None = None, limit: int = 100) -> list[OutboxMessage]:
        statement = select(tables.outbox).order_by(tables.outbox.c.id.desc()).limit(limit)
        if state is not None:
            statement = statement.where(tables.outbox.c.state == state)
        return [_message(row) for row in await self._all(statement)]


def _heads() -> Select[tuple[int]]:
    """The ids of the first pending message of each channel: only these may be delivered."""
    c = tables.outbox.c
    return select(func.min(c.id)).where(c.state == _PENDING).group_by(c.channel)


def _message(row: Mapping[Any, Any]) -> OutboxMessage:
    values = dict(row) | {"state": MessageState(row["state"])}
    return OutboxMessage(**values)
