"""Where recording callbacks of an ingest domain go (`record/callbacks`)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from livereel.catalogue.port import Catalogue, Page, UnitOfWork
from livereel.control.domains import owned
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, ResourceNotFound, UnknownDomain
from livereel.domain.messages import CallbackConfig, CallbackEvent, SignType
from livereel.domain.tenancy import DomainType


@dataclass(frozen=True, slots=True)
class NewCallbackConfig:
    """What a client says about a configuration. A `key` of None is left as it is, an empty one removed."""

    domain: str
    app: str
    url: str
    events: tuple[CallbackEvent, ...]
    sign_type: SignType
    key: str | None
    on_demand_url: str = ""


class CallbackService:
    """One configuration per ingest domain. A change counts for the next event; URL and key for the next attempt."""

    def __init__(self, catalogue: Catalogue, clock: Clock, new_id: Callable[[], str]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id

    async def create(self, project_id: str, new: NewCallbackConfig) -> CallbackConfig:
        """Raises InvalidParameter (UnknownDomain among them) and ResourceExists if the domain has a configuration."""
        now = self._clock.now()
        config = CallbackConfig(
            id=self._new_id(),
            project_id=project_id,
            domain=new.domain,
            app=new.app,
            url=new.url,
            created_at=now,
            updated_at=now,
            events=new.events,
            sign_type=new.sign_type,
            key=new.key or "",
            on_demand_url=new.on_demand_url,
        )
        async with self._catalogue.write() as uow:
            await _check_domain(uow, config)
            await uow.callbacks.add(config)
        return config

    async def get(self, project_id: str, config_id: str) -> CallbackConfig:
        """Raises ResourceNotFound."""
        async with self._catalogue.read() as uow:
            return _found(await uow.callbacks.get(project_id, config_id), config_id)

    async def list(
        self, project_id: str, *, domain: str | None, app: str | None, offset: int, limit: int
    ) -> Page[CallbackConfig]:
        """A page of configurations; filters compare exactly ("*" means the configuration's own "*")."""
        async with self._catalogue.read() as uow:
            return await uow.callbacks.list(project_id, domain=domain, app=app, offset=offset, limit=limit)

    async def update(self, project_id: str, config_id: str, new: NewCallbackConfig) -> CallbackConfig:
        """Replace a configuration; its id and creation time stay. Raises ResourceNotFound and what `create` raises."""
        async with self._catalogue.write() as uow:
            old = _found(await uow.callbacks.get(project_id, config_id), config_id)
            config = replace(
                old,
                domain=new.domain,
                app=new.app,
                url=new.url,
                updated_at=self._clock.now(),
                events=new.events,
                sign_type=new.sign_type,
                key=old.key if new.key is None else new.key,
                on_demand_url=new.on_demand_url,
            )
            await _check_domain(uow, config)
            await uow.callbacks.update(config)
        return config

    async def delete(self, project_id: str, config_id: str) -> None:
        """Messages that wait are given up. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            if not await uow.callbacks.delete(project_id, config_id):
                raise _missing(config_id)


async def _check_domain(uow: UnitOfWork, config: CallbackConfig) -> None:
    try:
        domain = owned(await uow.domains.get(config.domain), config.project_id, config.domain)
    except ResourceNotFound as error:
        raise UnknownDomain(error.detail) from None
    if domain.type is not DomainType.PUSH:
        raise InvalidParameter(f"{config.domain} is a streaming domain; recording callbacks want an ingest domain")


def _found(config: CallbackConfig | None, config_id: str) -> CallbackConfig:
    if config is None:
        raise _missing(config_id)
    return config


def _missing(config_id: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no callback configuration {config_id[:64]!r} in this project")
