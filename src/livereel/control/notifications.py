"""Where stream-status notifications of an ingest domain go."""

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.control.domains import owned
from livereel.domain.errors import InvalidParameter, ResourceNotFound, UnknownDomain
from livereel.domain.messages import AUTH_SIGN_KEY_MAX, AUTH_SIGN_KEY_MIN, NotificationConfig


class NotificationService:
    """One notification configuration per domain."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def put(self, project_id: str, config: NotificationConfig) -> bool:
        """Create or replace; True if it was created. Raises UnknownDomain, InvalidParameter."""
        if not config.url.startswith(("http://", "https://")):
            raise InvalidParameter("url must begin with http:// or https://")
        if config.key and not AUTH_SIGN_KEY_MIN <= len(config.key) <= AUTH_SIGN_KEY_MAX:
            raise InvalidParameter(f"auth_sign_key must have {AUTH_SIGN_KEY_MIN} to {AUTH_SIGN_KEY_MAX} characters")
        async with self._catalogue.write() as uow:
            await _check_domain(uow, project_id, config.domain)
            return await uow.notifications.put(config)

    async def get(self, project_id: str, domain: str) -> NotificationConfig | None:
        """The configuration or None; raises UnknownDomain."""
        async with self._catalogue.read() as uow:
            await _check_domain(uow, project_id, domain)
            return await uow.notifications.get(domain)

    async def delete(self, project_id: str, domain: str) -> None:
        """Harmless when there is none; raises UnknownDomain."""
        async with self._catalogue.write() as uow:
            await _check_domain(uow, project_id, domain)
            await uow.notifications.delete(domain)


async def _check_domain(uow: UnitOfWork, project_id: str, name: str) -> None:
    try:
        owned(await uow.domains.get(name), project_id, name)
    except ResourceNotFound as error:
        raise UnknownDomain(error.detail) from None
