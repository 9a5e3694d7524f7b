"""The delivery log of a project: what was sent to its applications, how that went, and sending it again."""

from collections.abc import Callable
from dataclasses import dataclass

from livereel.catalogue.port import Catalogue, Page
from livereel.domain.clock import Clock
from livereel.domain.errors import InvalidParameter, ResourceNotFound
from livereel.domain.messages import Delivery, MessageState, OutboxMessage


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages to list; None: all."""

    state: MessageState | None = None
    kind: str | None = None
    event: str | None = None
    domain: str | None = None


class MessageService:
    """Outgoing messages of all projects; those of other projects are as good as absent."""

    def __init__(self, catalogue: Catalogue, clock: Clock, wake_dispatcher: Callable[[], None]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._wake_dispatcher = wake_dispatcher

    async def get(self, project_id: str, message_id: int) -> tuple[OutboxMessage, list[Delivery]]:
        """A message and its attempts, oldest first; raises ResourceNotFound."""
        async with self._catalogue.read() as uow:
            message = _found(await uow.outbox.get(message_id), project_id, message_id)
            return message, await uow.outbox.deliveries(message_id)

    async def replay(self, project_id: str, message_id: int) -> OutboxMessage:
        """Send a message again that was delivered or given up, for another whole retry time.

        Raises ResourceNotFound, and InvalidParameter for one that is pending.
        """
        async with self._catalogue.write() as uow:
            message = _found(await uow.outbox.get(message_id), project_id, message_id)
            if message.state is MessageState.PENDING:
                raise InvalidParameter(f"message {message_id} is pending: it is tried again by itself")
            again = await uow.outbox.replay(message_id, self._clock.now())
        self._wake_dispatcher()
        return _found(again, project_id, message_id)

    async def list(self, project_id: str, wanted: MessageFilter, *, offset: int, limit: int) -> Page[OutboxMessage]:
        """A page of messages, newest first."""
        async with self._catalogue.read() as uow:
            return await uow.outbox.list(
                project_id=project_id,
                state=wanted.state,
                kind=wanted.kind,
                event=wanted.event,
                domain=wanted.domain,
                offset=offset,
                limit=limit,
            )


def _found(message: OutboxMessage | None, project_id: str, message_id: int) -> OutboxMessage:
    if message is None or message.project_id != project_id:
        raise ResourceNotFound(f"there is no message {message_id} in this project")
    return message
