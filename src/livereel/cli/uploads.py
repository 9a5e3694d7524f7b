"""`livereel uploads`: what is on its way into stores, and why it waits."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, bytes_text, print_json, say, show, when

if TYPE_CHECKING:
    from livereel.domain.uploads import BucketBacklog, Upload

WATCH_EVERY = 2.0  # seconds


def uploads(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only files of this project (name or id).")] = None,
    bucket: Annotated[str | None, typer.Option(help="Only files for this bucket.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, oldest first.")] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Show again every 2 seconds, until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show record files that their stores have not confirmed yet, oldest first."""

    async def work(desk: Desk) -> None:
        project_id = (await desk.project(project)).id if project else None
        backlog = await desk.read(lambda work: work.uploads.backlog(project_id=project_id))
        page = await desk.read(lambda work: work.uploads.list(project_id=project_id, bucket=bucket, limit=limit))
        buckets = [_bucket(each) for each in backlog if bucket in (None, each.bucket)]
        rows = [_upload(upload) for upload in page.items]
        if as_json:
            print_json({"backlog": buckets, "uploads": rows})
            return
        show(["bucket", "files", "waiting", "since"], buckets, as_json=False, empty="nothing waits")
        for each in (each for each in buckets if each["last_error"]):
            say(f"{each['bucket']}: {each['last_error']}")  # a column would break it into pieces
        if rows:
            say("")
            show(["job", "bucket", "state", "sent", "of", "attempts", "next_attempt"], rows, as_json=False)
        if page.total > len(rows):
            say(f"{page.total - len(rows)} newer ones: --limit")

    while True:
        at_desk(context, work)
        if not watch:
            return
        time.sleep(WATCH_EVERY)
        say("")


def _bucket(backlog: "BucketBacklog") -> dict[str, Any]:
    return {
        "bucket": backlog.bucket,
        "files": backlog.files,
        "bytes": backlog.bytes,
        "waiting": bytes_text(backlog.bytes),
        "since": when(backlog.waiting_since),
        "last_error": backlog.last_error,
    }


def _upload(upload: "Upload") -> dict[str, Any]:
    return {
        "job": upload.job_id,
        "task": upload.task_id,
        "project": upload.project_id,
        "bucket": upload.bucket,
        "object": upload.object_key,
        "state": upload.state.value,
        "bytes_sent": upload.sent,
        "bytes": upload.size,
        "sent": bytes_text(upload.sent),
        "of": bytes_text(upload.size),
        "since": when(upload.waiting_since),
        "attempts": upload.attempts,
        "last_error": upload.last_error,
        "next_attempt": when(upload.next_retry_at),
    }
