"""Where messages go, and the outbox."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, insert, literal_column, select, tuple_

from livereel.catalogue import tables
from livereel.catalogue.port import Page
from livereel.catalogue.repositories.base import Repository, equal, of_stream
from livereel.domain.keys import StreamKey
from livereel.domain.messages import (
    LONGEST_PAUSE,
    AnnouncedPush,
    CallbackConfig,
    CallbackEvent,
    Delivery,
    MessageState,
    NotificationConfig,
    OutboxMessage,
    Publish,
    SignType,
)

# A literal and not a parameter: only so may the databases use the index that holds pending messages alone.
_PENDING: ColumnElement[str] = literal_column(f"'{MessageState.PENDING}'")

_ADD_MESSAGE = insert(tables.outbox).returning(tables.outbox.c.id)
_ADD_DELIVERY = insert(tables.deliveries)

# What of a message is ever changed.
_CHANGING = ("url", "state", "attempts", "created_at", "due_at", "last_error")


class SqlNotifications(Repository):
    """`port.Notifications`."""

    async def get(self, domain: str) -> NotificationConfig | None:
        row = await self._row(tables.notifications, domain=domain)
        return NotificationConfig(**row) if row else None

    async def put(self, config: NotificationConfig) -> bool:
        return await self._put(tables.notifications, asdict(config))

    async def delete(self, domain: str) -> bool:
        return await self._remove(tables.notifications, domain=domain)


class SqlAnnouncedPushes(Repository):
    """`port.AnnouncedPushes`."""

    async def put(self, push: AnnouncedPush) -> bool:
        values = {"project_id": push.project_id, "node": push.node, "publish": asdict(push.publish)}
        return await self._put(tables.announced_pushes, of_stream(push.key) | values)

    async def get(self, key: StreamKey) -> AnnouncedPush | None:
        row = await self._row(tables.announced_pushes, **of_stream(key))
        return _announced(row) if row else None

    async def delete(self, key: StreamKey) -> bool:
        return await self._remove(tables.announced_pushes, **of_stream(key))

    async def list(self, *, node: str) -> list[AnnouncedPush]:
        rows = await self._rows(tables.announced_pushes, "domain", "app", "stream", node=node)
        return [_announced(row) for row in rows]


class SqlCallbacks(Repository):
    """`port.Callbacks`."""

    async def add(self, config: CallbackConfig) -> None:
        await self._insert(tables.callbacks, asdict(config), _same_domain(config))

    async def get(self, project_id: str, config_id: str) -> CallbackConfig | None:
        row = await self._row(tables.callbacks, project_id=project_id, id=config_id)
        return _callback(row) if row else None

    async def by_domain(self, domain: str) -> CallbackConfig | None:
        row = await self._row(tables.callbacks, domain=domain)
        return _callback(row) if row else None

    async def list(
        self, project_id: str, *, domain: str | None = None, app: str | None = None, offset: int = 0, limit: int = 10
    ) -> Page[CallbackConfig]:
        c = tables.callbacks.c
        where = [c.project_id == project_id, *equal((c.domain, domain), (c.app, app))]
        total, rows = await self._page(tables.callbacks, where, c.created_at, c.id, offset=offset, limit=limit)
        return Page(total, [_callback(row) for row in rows])

    async def update(self, config: CallbackConfig) -> None:
        await self._update(
            tables.callbacks,
            {"project_id": config.project_id, "id": config.id},
            asdict(config),
            missing=f"there is no callback configuration {config.id}",
            taken=_same_domain(config),
        )

    async def delete(self, project_id: str, config_id: str) -> bool:
        return await self._remove(tables.callbacks, project_id=project_id, id=config_id)


class SqlOutbox(Repository):
    """`port.Outbox`."""

    async def add(self, message: OutboxMessage) -> int:
        if self._connection.dialect.name == "postgresql":
            # Ids are given out before commit. Without this lock a message could become visible, and be delivered,
            # before an older one of its channel. SQLite has one writer at a time.
            await self._execute(select(func.pg_advisory_xact_lock(func.hashtext(message.channel))))
        values = asdict(message)
        del values["id"]
        return int((await self._execute(_ADD_MESSAGE, values)).scalar_one())

    async def due(
        self,
        now: float,
        *,
        limit: int,
        after: int = 0,
        ids: Collection[int] = (),
        sources: Collection[tuple[str, str]] = (),
    ) -> list[OutboxMessage]:
        c = tables.outbox.c
        is_due = (c.due_at <= now) | (c.due_at > now + LONGEST_PAUSE)
        statement = select(tables.outbox).where(c.id.in_(self._heads()), is_due, c.id > after)
        if ids:
            statement = statement.where(c.id.not_in(ids))
        if sources:
            statement = statement.where(tuple_(c.kind, c.domain).not_in(sources))
        return [_message(row) for row in await self._all(statement.order_by(c.id).limit(limit))]

    async def next_due_at(self, after: float = 0.0) -> float | None:
        c = tables.outbox.c
        earliest: float | None = (
            await self._execute(select(func.min(c.due_at)).where(c.id.in_(self._heads()), c.due_at > after))
        ).scalar_one()
        return earliest

    async def head(self, channel: str) -> OutboxMessage | None:
        c = tables.outbox.c
        first = select(tables.outbox).where(self._waits(), c.channel == channel).order_by(c.id).limit(1)
        found = (await self._all(first))[:1]
        return _message(found[0]) if found else None

    def _heads(self) -> Select[tuple[int]]:
        """The ids of the first pending message of each channel: only these may be delivered."""
        c = tables.outbox.c
        return select(func.min(c.id)).where(self._waits()).group_by(c.channel)

    def _waits(self) -> ColumnElement[bool]:
        """A message is pending. For the index of channels: SQLite would take that of states and go through all."""
        waits = tables.outbox.c.state == _PENDING
        return func.likely(waits) if self._connection.dialect.name == "sqlite" else waits

    async def get(self, message_id: int) -> OutboxMessage | None:
        row = await self._row(tables.outbox, id=message_id)
        return _message(row) if row else None

    async def pending(self) -> int:
        statement = select(func.count()).select_from(tables.outbox).where(tables.outbox.c.state == _PENDING)
        return int((await self._execute(statement)).scalar_one())

    async def delete_settled(self, before: float, *, limit: int) -> int:
        c = tables.outbox.c
        old = select(c.id).where(c.state != _PENDING, c.created_at < before).order_by(c.id).limit(limit)
        return await self._delete_many(tables.outbox, c.id.in_(old))

    async def update(self, message: OutboxMessage) -> None:
        values = {name: getattr(message, name) for name in _CHANGING}
        await self._update(tables.outbox, {"id": message.id}, values, missing=f"there is no message {message.id}")

    async def log(self, delivery: Delivery) -> None:
        await self._execute(_ADD_DELIVERY, asdict(delivery))

    async def deliveries(self, message_id: int) -> list[Delivery]:
        c = tables.deliveries.c
        statement = select(c.message_id, c.attempted_at, c.duration, c.status, c.error)
        rows = await self._all(statement.where(c.message_id == message_id).order_by(c.id))
        return [Delivery(**row) for row in rows]

    async def list(
        self,
        *,
        project_id: str | None = None,
        domain: str | None = None,
        kind: str | None = None,
        event: str | None = None,
        state: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[OutboxMessage]:
        c = tables.outbox.c
        where = equal(
            (c.project_id, project_id), (c.domain, domain), (c.kind, kind), (c.event, event), (c.state, state)
        )
        total, rows = await self._page(tables.outbox, where, c.id.desc(), offset=offset, limit=limit)
        return Page(total, [_message(row) for row in rows])

    async def replay(self, message_id: int, now: float) -> OutboxMessage | None:
        row = await self._row_to_change(tables.outbox, id=message_id)
        if row is None:
            return None
        again = replace(_message(row), state=MessageState.PENDING, attempts=0, created_at=now, due_at=now)
        await self.update(again)
        return again


def _announced(row: Mapping[Any, Any]) -> AnnouncedPush:
    key = StreamKey(row["domain"], row["app"], row["stream"])
    return AnnouncedPush(key, row["project_id"], row["node"], Publish(**row["publish"]))


def _message(row: Mapping[Any, Any]) -> OutboxMessage:
    values = dict(row) | {"state": MessageState(row["state"])}
    return OutboxMessage(**values)


def _same_domain(config: CallbackConfig) -> str:
    return f"{config.domain} has a callback configuration already"


def _callback(row: Mapping[Any, Any]) -> CallbackConfig:
    values = dict(row) | {
        "events": tuple(map(CallbackEvent, row["events"])),
        "sign_type": SignType(row["sign_type"]),
    }
    return CallbackConfig(**values)
