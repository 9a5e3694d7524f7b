"""`livereel messages`: the outbox of notifications and callbacks, its delivery log, and sending one again."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, cell, print_json, say, show, when
from livereel.domain.errors import LivereelError
from livereel.domain.messages import MessageState

if TYPE_CHECKING:
    from livereel.domain.messages import OutboxMessage

app = typer.Typer(name="messages", help="Messages: notifications, callbacks and their delivery.")

MessageId = Annotated[int, typer.Argument(metavar="ID", help="Id of the message.")]


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[MessageState | None, typer.Option(help="Only messages in this state.")] = None,
    event: Annotated[
        str | None, typer.Option(help="Only messages of this event, such as RECORD_FILE_COMPLETE.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Only messages about this ingest domain.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List messages, newest first."""

    async def work(desk: Desk) -> None:
        messages = await desk.read(lambda work: work.outbox.list(state=state, event=event, domain=domain, limit=limit))
        columns = ["id", "event", "channel", "state", "attempts", "created", "due", "last_error"]
        show(columns, [_row(message) for message in messages.items], as_json=as_json)

    at_desk(context, work)


@app.command("show")
def show_(context: typer.Context, message_id: MessageId, as_json: AsJson = False) -> None:
    """Show one message with its delivery log."""

    async def work(desk: Desk) -> None:
        message = await _find(desk, message_id)
        deliveries = await desk.read(lambda work: work.outbox.deliveries(message_id))
        rows = [asdict(delivery) | {"at": when(delivery.attempted_at)} for delivery in deliveries]
        about = _row(message)
        if as_json:
            print_json(about | {"deliveries": rows})
            return
        about["body"] = json.dumps(message.body)
        for name, value in about.items():
            if name not in {"created_at", "due_at"}:  # `created` and `due` are for people
                say(f"{name.replace('_', ' '):<10} {cell(value)}")
        say("")
        rows = [row | {"took": f"{row['duration']:.3f} s"} for row in rows]
        show(["at", "took", "status", "error"], rows, as_json=False, empty="no attempt yet")

    at_desk(context, work)


@app.command()
def replay(context: typer.Context, message_id: MessageId) -> None:
    """Send a message again that was delivered or given up.

    It keeps its id and is tried for another whole retry time. A running server takes up to 30 s to see it.
    """

    async def work(desk: Desk) -> None:
        from livereel.observe.clock import SystemClock

        message = await _find(desk, message_id)
        if message.state is MessageState.PENDING:
            raise LivereelError(f"message {message_id} is pending: it is tried again by itself")
        async with desk.catalogue.write() as work:
            await work.outbox.replay(message_id, SystemClock().now())
        say(f"message {message_id} is pending again")

    at_desk(context, work)


async def _find(desk: Desk, message_id: int) -> "OutboxMessage":
    message: OutboxMessage | None = await desk.read(lambda work: work.outbox.get(message_id))
    if message is None:
        raise LivereelError(f"there is no message {message_id}")
    return message


def _row(message: "OutboxMessage") -> dict[str, Any]:
    row = asdict(message) | {"state": message.state.value}
    return row | {"created": when(message.created_at), "due": when(message.due_at)}
