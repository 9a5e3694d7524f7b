"""`livereel retention`: delete what has to go, or show it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, bytes_text, say, show, when

if TYPE_CHECKING:
    from livereel.control.retention import Due

COLUMNS = ["task", "stream", "format", "ended", "size", "why"]


def retention(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go, and why.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete recordings that are too old, too many or in the way, as `retention` and templates say.

    A server does this by itself every minute. Held recordings stay, and so does what is not stored yet. The objects are
    taken out of the store by the server, at its next start if none runs.
    """

    async def work(desk: Desk) -> None:
        from livereel.control.retention import Retention
        from livereel.observe.clock import SystemClock

        service = Retention(desk.catalogue, desk.stores, SystemClock(), default=desk.settings.retention.rule())
        due = await service.due()
        show(COLUMNS, [_row(item) for item in due], as_json=as_json, empty="nothing has to go")
        if not dry_run:
            marked = await service.sweep()
            if not as_json:
                say(f"{marked} files are deleted")

    at_desk(context, work)


def _row(due: "Due") -> dict[str, Any]:
    file = due.file
    return {
        "task": file.task_id,
        "job": file.job_id,
        "stream": str(file.key),
        "format": file.format.value,
        "ended": when(file.ended_at),
        "bytes": file.size,
        "size": bytes_text(file.size),
        "bucket": file.bucket,
        "object": file.object_key,
        "why": due.why,
    }
