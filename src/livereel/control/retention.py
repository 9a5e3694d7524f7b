"""Retention: which recordings have to go, by age, size and free space; the oldest first.

Only files that the store has confirmed, of recordings that are over and that nobody holds. Choosing marks them in the
catalogue; taking them out of the store is `erasing`. Rows that nothing can ask for any more are forgotten here, too.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from livereel.catalogue.port import Catalogue, StoredSize, UnitOfWork
from livereel.control.damaged import DamagedSpools
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, StoreError
from livereel.domain.recordings import INDEX_MAX_AGE, PLAN_LIST_MAX_AGE, DeleteReason, RecordFile
from livereel.domain.retention import RetentionRule
from livereel.storage.port import Space, Stores

log = structlog.get_logger()

#: Seconds between looks. Ages are days; a disk that fills sooner is the business of the high-water mark.
LOOK_EVERY = 60.0
#: Files chosen in one look at most: what is wrong with a rule shows before everything is gone, and no look takes long.
LOOK_MOST = 1000
#: Seconds between clean-ups of old rows.
FORGET_EVERY = 3600.0
#: Seconds that the wall clock may gain on the monotonic one between two looks. A clock that was set further ahead makes
#: everything old at once; nothing is chosen for CLOCK_DOUBTED seconds then, time enough to set it right.
CLOCK_GAIN, CLOCK_DOUBTED = 600.0, 3600.0
_PAGE = 200  # rows read at a time


@dataclass(frozen=True, slots=True)
class Due:
    """A file that has to go, and why in words."""

    file: RecordFile
    why: str


@dataclass(frozen=True, slots=True)
class _Group:
    """The recordings that one rule is about: those of a template, or of all templates that have no rule."""

    name: str
    rule: RetentionRule
    templates: Sequence[str] | None
    other_than: Sequence[str]
    sizes: list[StoredSize]
    chosen: dict[str, Due] = field(default_factory=dict)


class Retention:
    """`start` it when the server works. `default` is the rule for templates without one.

    `damaged` is swept with the rest.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        stores: Stores,
        clock: Clock,
        *,
        default: RetentionRule | None = None,
        wake_eraser: Callable[[], None] = lambda: None,
        damaged: DamagedSpools | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._stores = stores
        self._clock = clock
        self._default = default or RetentionRule()
        self._wake_eraser = wake_eraser
        self._damaged = damaged
        self._loop: asyncio.Task[None] | None = None
        self._looked_at: tuple[float, float] | None = None  # wall, monotonic
        self._doubted_until = 0.0  # monotonic
        self._forget_at = 0.0  # monotonic

    def start(self) -> None:
        """Begin to look."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def due(self) -> list[Due]:
        """What has to go now, LOOK_MOST files at most. Changes nothing."""
        async with self._catalogue.read() as uow:
            templates = await uow.templates.with_retention()
            rules = [self._default, *(template.retention for template in templates)]
            # Adding up reads every file of the catalogue: 2 s for 300 000.
            measured = any(rule is not None and (rule.max_size or rule.min_free) for rule in rules)
            sizes = await uow.files.stored_sizes() if measured else []
        with_rule = [template.id for template in templates]
        groups = [
            _Group(
                f"template {template.id}",
                template.retention,
                [template.id],
                (),
                [size for size in sizes if size.template_id == template.id],
            )
            for template in templates
            if template.retention is not None
        ]
        others = [size for size in sizes if size.template_id not in with_rule]
        groups.append(_Group("the server's rule", self._default, None, with_rule, others))
        spaces = await self._spaces(groups)
        found: list[Due] = []
        async with self._catalogue.read() as uow:
            for group in groups:
                if not group.rule.keeps_all and len(found) < LOOK_MOST:
                    await self._choose(uow, group, sizes, spaces, found)
                    found += group.chosen.values()
        return sorted(found, key=lambda due: due.file.ended_at or 0.0)[:LOOK_MOST]

    async def sweep(self) -> int:
        """Mark what has to go; returns how many files that were."""
        marked = 0
        for due in await self.due():
            async with self._catalogue.write() as uow:
                if not await uow.files.mark_deleting(due.file.job_id, DeleteReason.RETENTION, self._clock.now()):
                    continue  # held or deleted meanwhile
            marked += 1
            log.info(
                "file_expired",
                stream=str(due.file.key),
                task=due.file.task_id,
                job=due.file.job_id,
                object=due.file.object_key,
                why=due.why,
            )
        if marked:
            self._wake_eraser()
        return marked

    async def forget(self) -> None:
        """Delete rows that no operation lists any more: slices and plans of long ago."""
        now = self._clock.now()
        while True:
            async with self._catalogue.read() as uow:
                files = await uow.slices.files_ended(now - INDEX_MAX_AGE, limit=_PAGE)
            for job_id in files:  # each a transaction: one file may have thousands, and others want to write
                async with self._catalogue.write() as uow:
                    await uow.slices.delete_of([job_id])
            if len(files) < _PAGE:
                break
        plans = _PAGE
        while plans == _PAGE:
            async with self._catalogue.write() as uow:
                plans = await uow.plan_tasks.delete_over(now - PLAN_LIST_MAX_AGE, limit=_PAGE)

    async def look(self) -> None:
        """Do what is due, unless the clock is in doubt."""
        if not self._clock_is_sound():
            return
        await self.sweep()
        if self._damaged is not None:
            await self._damaged.sweep()
        if self._clock.monotonic() >= self._forget_at:
            self._forget_at = self._clock.monotonic() + FORGET_EVERY
            await self.forget()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("retention_failed")
            await asyncio.sleep(LOOK_EVERY)

    def _clock_is_sound(self) -> bool:
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        before, self._looked_at = self._looked_at, (wall, monotonic)
        if before is not None and (gained := (wall - before[0]) - (monotonic - before[1])) > CLOCK_GAIN:
            self._doubted_until = monotonic + CLOCK_DOUBTED
            log.warning("clock_set_ahead", seconds=gained, retention_waits=CLOCK_DOUBTED)
        return monotonic >= self._doubted_until

    async def _spaces(self, groups: list[_Group]) -> dict[str, Space]:
        """By bucket, where a rule asks for it and the store tells."""
        wanted = {size.bucket for group in groups if group.rule.min_free is not None for size in group.sizes}
        found: dict[str, Space] = {}
        for bucket in sorted(wanted):
            try:
                space = await self._stores.get(bucket).space()
            except (StoreError, InvalidParameter) as error:
                log.warning("free_space_unknown", bucket=bucket, error=error.detail)
            else:
                if space is not None:
                    found[bucket] = space
        return found

    async def _choose(
        self, uow: UnitOfWork, group: _Group, sizes: list[StoredSize], spaces: dict[str, Space], found: list[Due]
    ) -> None:
        rule = group.rule
        if rule.max_age is not None:
            why = f"{group.name}: ended more than {rule.max_age:.0f} s ago"
            await self._take(uow, group, why, None, ended_before=self._clock.now() - rule.max_age)
        if rule.max_size is not None:
            surplus = sum(size.stored for size in group.sizes) - rule.max_size
            why = f"{group.name}: more than {rule.max_size} bytes are stored"
            await self._take(uow, group, why, surplus)
        if rule.min_free is not None:
            devices: dict[int, list[str]] = defaultdict(list)
            for bucket in {size.bucket for size in group.sizes} & set(spaces):
                devices[spaces[bucket].device].append(bucket)
            for buckets in devices.values():
                lacking = rule.min_free - _free(spaces[buckets[0]], sizes, spaces, found)
                why = f"{group.name}: less than {rule.min_free} bytes are free"
                await self._take(uow, group, why, lacking, buckets=buckets)

    @staticmethod
    async def _take(
        uow: UnitOfWork,
        group: _Group,
        why: str,
        surplus: int | None,
        *,
        ended_before: float | None = None,
        buckets: Sequence[str] | None = None,
    ) -> None:
        """Choose the oldest until `surplus` bytes are chosen (None: all), those chosen already among them."""
        offset = 0
        while (surplus is None or surplus > 0) and len(group.chosen) < LOOK_MOST:
            page = await uow.files.deletable(
                templates=group.templates,
                other_than=group.other_than,
                ended_before=ended_before,
                buckets=buckets,
                offset=offset,
                limit=_PAGE,
            )
            for file in page:
                if surplus is not None:
                    if surplus <= 0:
                        return
                    surplus -= file.size or 0
                group.chosen.setdefault(file.job_id, Due(file, why))
            if len(page) < _PAGE:
                return
            offset += _PAGE


def _free(space: Space, sizes: list[StoredSize], spaces: dict[str, Space], found: list[Due]) -> int:
    """Bytes free on a file system when all that is to be deleted there is gone."""
    there = {bucket for bucket, other in spaces.items() if other.device == space.device}
    going = sum(size.deleting for size in sizes if size.bucket in there)
    return space.free + going + sum(due.file.size or 0 for due in found if due.file.bucket in there)
