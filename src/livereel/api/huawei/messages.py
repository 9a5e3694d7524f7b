"""livereel/messages: the delivery log of notifications and callbacks. An extension of ours; no cloud has it."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, Field

from livereel.api.huawei import requests
from livereel.api.huawei.replies import time_text
from livereel.api.services import ApiServices
from livereel.control.messages import MessageFilter
from livereel.domain.messages import Delivery, MessageState, OutboxMessage

ID_MAX = 2**63 - 1  # what databases count to

MessageId = Annotated[int, BeforeValidator(requests.whole_number), Path(ge=1, le=ID_MAX)]
State = Annotated[MessageState | None, BeforeValidator(requests.empty_is_absent)]
_Short = Annotated[str, Field(max_length=requests.TEXT_MAX)]
ShortFilter = Annotated[_Short | None, BeforeValidator(requests.empty_is_absent)]


class MessageListQuery(requests.Query):
    state: State = None
    kind: ShortFilter = None
    event: ShortFilter = None
    domain: ShortFilter = None
    offset: requests.Offset = 0
    limit: requests.Limit = requests.LIMIT_DEFAULT

    def filter(self) -> MessageFilter:
        """What to list."""
        return MessageFilter(state=self.state, kind=self.kind, event=self.event, domain=self.domain)


def reply(message: OutboxMessage) -> dict[str, Any]:
    """A message as it stands; `body` is what every attempt sends, without what expires."""
    shown: dict[str, Any] = {
        "id": message.id,
        "kind": message.kind,
        "event": message.event,
        "domain": message.domain,
        "channel": message.channel,
        "url": message.url,
        "state": message.state.value,
        "attempts": message.attempts,
        "create_time": time_text(message.created_at),
        "body": message.body,
    }
    if message.state is MessageState.PENDING:
        shown["next_attempt_time"] = time_text(message.due_at)
    return shown | ({"last_error": message.last_error} if message.last_error else {})


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "time": time_text(delivery.attempted_at),
        "duration": round(delivery.duration, 3),
        "status": delivery.status,
        "error": delivery.error,
    }


def add(routes: APIRouter, services: ApiServices) -> None:
    """The routes of livereel/messages."""
    path = "/livereel/messages"

    @routes.get(path, operation_id="ListMessages", tags=["messages"])
    async def list_messages(project_id: str, query: Annotated[MessageListQuery, Query()]) -> Response:
        """List outgoing messages, newest first. An extension of livereel."""
        page = await services.messages.list(project_id, query.filter(), offset=query.offset, limit=query.limit)
        return JSONResponse({"total": page.total, "messages": [reply(item) for item in page.items]})

    @routes.get(path + "/{id}", operation_id="ShowMessage", tags=["messages"])
    async def show_message(project_id: str, id: MessageId) -> Response:
        """Show an outgoing message and every attempt to deliver it. An extension of livereel."""
        message, deliveries = await services.messages.get(project_id, id)
        return JSONResponse(reply(message) | {"deliveries": [_delivery(item) for item in deliveries]})

    @routes.post(path + "/{id}/replay", operation_id="ReplayMessage", tags=["messages"])
    async def replay_message(project_id: str, id: MessageId) -> Response:
        """Send a message again that was delivered or given up. An extension of livereel."""
        return JSONResponse(reply(await services.messages.replay(project_id, id)))
