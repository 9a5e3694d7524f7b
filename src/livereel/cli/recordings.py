"""`livereel recordings`: tasks and their files."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, bytes_text, cell, print_json, say, show, when
from livereel.domain.errors import LivereelError
from livereel.domain.states import FileState
from livereel.domain.verification import reasons

if TYPE_CHECKING:
    from livereel.control.recordings import RecordingService
    from livereel.domain.recordings import RecordFile, Task

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id, or how it begins.")]
BY = "the command line"  # who the log names

app = typer.Typer(name="recordings", help="Recordings: tasks and the files they made.")


@app.command("list")
def list_(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only recordings of this project (name or id).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List recordings, newest first."""

    async def work(desk: Desk) -> None:
        project_id = (await desk.project(project)).id if project else None
        page = await desk.read(lambda work: work.tasks.list(project_id=project_id, limit=limit))
        rows = [_task(task) for task in page.items]
        show(["task", "stream", "state", "started", "ended", "reason"], rows, as_json=as_json)
        if not as_json and page.total > len(rows):
            say(f"{page.total - len(rows)} older ones: --limit")

    at_desk(context, work)


@app.command("show")
def show_(
    context: typer.Context,
    task_id: TaskId,
    as_json: AsJson = False,
) -> None:
    """Show one recording with its files."""

    async def work(desk: Desk) -> None:
        task = await _find(desk, task_id)
        files = await desk.read(lambda work: work.files.of_task(task.id))
        rows = [_file(desk, file) for file in files]
        held = await desk.read(lambda work: work.holds.held_since(task.id))
        about = _task(task) | {"held": when(held)}
        if as_json:
            print_json(about | {"files": rows})
            return
        for name, value in about.items():
            if value is not None:
                say(f"{name.replace('_', ' '):<10} {value}")
        say("")
        show(["format", "state", "started", "length", "codecs", "size", "gaps", "check"], rows, as_json=False)
        say("")
        for row in rows:
            say(f"{row['format']}  {cell(row['path'])}")

    at_desk(context, work)


@app.command()
def hold(context: typer.Context, task_id: TaskId) -> None:
    """Keep a recording from being deleted until it is released."""

    async def work(desk: Desk) -> None:
        task = await _find(desk, task_id)
        await _service(desk).hold(task.project_id, task.id, by=BY)
        say(f"recording {task.id} is held")

    at_desk(context, work)


@app.command()
def release(context: typer.Context, task_id: TaskId) -> None:
    """End a hold."""

    async def work(desk: Desk) -> None:
        task = await _find(desk, task_id)
        await _service(desk).release(task.project_id, task.id, by=BY)
        say(f"recording {task.id} is not held")

    at_desk(context, work)


@app.command()
def delete(context: typer.Context, task_id: TaskId) -> None:
    """Delete a recording that is over, with all its objects.

    It is not listed any more at once; the server takes the objects out of the store, at its next start if none runs.
    """

    async def work(desk: Desk) -> None:
        task = await _find(desk, task_id)
        await _service(desk).delete(task.project_id, task.id, by=BY)
        say(f"recording {task.id} is deleted")

    at_desk(context, work)


def _service(desk: Desk) -> "RecordingService":
    from livereel.control.recordings import RecordingService
    from livereel.observe.clock import SystemClock

    # A server that runs looks for what is to be deleted by itself.
    return RecordingService(desk.catalogue, SystemClock(), lambda: None)


async def _find(desk: Desk, wanted: str) -> "Task":
    if task := await desk.read(lambda work: work.tasks.get(wanted)):
        return task  # type: ignore[no-any-return]
    page = await desk.read(lambda work: work.tasks.list(limit=1000))
    found: list[Task] = [task for task in page.items if task.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise LivereelError(f"there is no recording {wanted}" if not found else f"several recordings begin with {wanted}")


def _task(task: "Task") -> dict[str, Any]:
    return {
        "task": task.id,
        "project": task.project_id,
        "stream": str(task.key),
        "type": task.record_type.value,
        "state": task.state.value,
        "node": task.node,
        "started": when(task.started_at),
        "ended": when(task.ended_at),
        "reason": task.end_reason.value if task.end_reason else None,
        "error": task.error,
    }


def _file(desk: Desk, file: "RecordFile") -> dict[str, Any]:
    codecs = " + ".join(codec for codec in (file.video_codec, file.audio_codec) if codec)
    size = f"{file.width}x{file.height}" if file.width else ""
    return {
        "job": file.job_id,
        "format": file.format.value,
        "state": file.state.value,
        "started": when(file.started_at),
        "duration": file.duration,
        "length": None if file.duration is None else f"{file.duration:.3f} s",
        "codecs": f"{codecs} {size}".strip() or None,
        "bytes": file.size,
        "size": bytes_text(file.size),
        "gaps": len(file.report.get("gaps", [])),
        "verification": None if file.verification is None else file.verification.value,
        "verified": when(file.verified_at),
        "reasons": [damage.to_json() for damage in file.damages],
        "check": _check(file),
        "sha256": file.sha256,
        "bucket": file.bucket,
        "object": file.object_key,
        "path": _place(desk, file),
        "deleted": when(file.deleted_at),
        "delete_reason": file.delete_reason.value if file.delete_reason else None,
    }


def _check(file: "RecordFile") -> str | None:
    """What reading it again gave, in a word or two."""
    if file.verification is None:
        return None
    return " ".join([file.verification.value, *([f"({', '.join(reasons(file.damages))})"] if file.damages else [])])


def _place(desk: Desk, file: "RecordFile") -> str | None:
    """Where the file is, or why it is nowhere."""
    if file.state is not FileState.STORED:
        return file.error
    try:
        return desk.stores.get(file.bucket).describe(file.object_key)
    except LivereelError as problem:  # the bucket was taken away since
        return problem.detail
