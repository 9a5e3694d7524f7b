"""What may be deleted, and what must not be."""

from livereel.catalogue import tables
from livereel.catalogue.repositories.base import Repository


class SqlHolds(Repository):
    """`port.Holds`."""

    async def put(self, task_id: str, now: float) -> bool:
        return await self._insert_unless_taken(tables.holds, {"task_id": task_id, "created_at": now})

    async def delete(self, task_id: str) -> bool:
        return await self._remove(tables.holds, task_id=task_id)

    async def held_since(self, task_id: str) -> float | None:
        row = await self._row(tables.holds, task_id=task_id)
        return row["created_at"] if row else None
