"""`livereel templates`: recording templates."""

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, say, show, when
from livereel.domain import templates
from livereel.domain.templates import FormatConfig, ObsAddress, RecordFormat, RecordType, Template, default_prefix

if TYPE_CHECKING:
    from livereel.control.templates import TemplateService

app = typer.Typer(name="templates", help="Recording templates: what is recorded, and how.")

ProjectOption = Annotated[
    str | None, typer.Option("--project", help="Project (name or id); the only one if there is one.")
]
COLUMNS = ["id", "domain", "app", "stream", "type", "formats", "bucket", "object"]
PAGE = 100  # templates read at a time


@app.command("list")
def list_(context: typer.Context, project: ProjectOption = None, as_json: AsJson = False) -> None:
    """List recording templates."""

    async def work(desk: Desk) -> None:
        service, owner = _service(desk), await desk.project(project)
        rows: list[dict[str, Any]] = []
        while (page := await service.list(owner.id, offset=len(rows), limit=PAGE)).items:
            rows += [_row(template) for template in page.items]
        show(COLUMNS, rows, as_json=as_json)

    at_desk(context, work)


@app.command()
def create(
    context: typer.Context,
    domain: Annotated[str, typer.Option(help="Ingest domain.")],
    bucket: Annotated[str, typer.Option(help="Bucket the files go to.")],
    record_app: Annotated[str, typer.Option("--app", help="App, or * for every app.")] = "*",
    stream: Annotated[str, typer.Option(help="Stream, or * for every stream.")] = "*",
    record_type: Annotated[
        RecordType,
        typer.Option(
            "--type",
            help="Recorded between START and STOP (COMMAND_RECORD), whenever it is pushed (CONTINUOUS_RECORD), "
            "at planned times (PLAN_RECORD), or when your service says so (ON_DEMAND_RECORD).",
        ),
    ] = RecordType.COMMAND,
    record_format: Annotated[
        list[RecordFormat] | None, typer.Option("--format", help="Format; may be repeated. Default: all three.")
    ] = None,
    object_root: Annotated[str, typer.Option("--object", help="Key prefix in the bucket.")] = "",
    cycle: Annotated[
        int,
        typer.Option(help=f"Longest file, seconds: 0 or {templates.RECORD_CYCLE_MIN}-{templates.RECORD_CYCLE_MAX}."),
    ] = 0,
    merge: Annotated[
        int,
        typer.Option(
            help="Longest interruption that stays in a file, seconds: "
            f"0-{templates.MERGE_MAX}, or -1 for 30 days (HLS)."
        ),
    ] = 0,
    slice_duration: Annotated[
        int, typer.Option("--slice", help="Length of an HLS slice, seconds.")
    ] = templates.SLICE_DEFAULT,
    project: ProjectOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a recording template. It counts for the next START (or push)."""

    async def work(desk: Desk) -> None:
        from livereel.control.templates import NewTemplate

        owner = await desk.project(project)
        formats = {
            wanted: FormatConfig(
                record_cycle=cycle,
                record_prefix=default_prefix(wanted),
                merge_window=merge,
                slice_duration=slice_duration,
            )
            for wanted in record_format or list(RecordFormat)
        }
        address = ObsAddress(bucket, desk.settings.region, object_root)
        new = NewTemplate(domain, record_app, stream, record_type, address, formats)
        template = await _service(desk).create(owner.id, new)
        show(COLUMNS, [_row(template)], as_json=as_json)

    at_desk(context, work)


@app.command()
def delete(
    context: typer.Context,
    template_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the template.")],
    project: ProjectOption = None,
) -> None:
    """Delete a recording template. Running recordings go on."""

    async def work(desk: Desk) -> None:
        await _service(desk).delete((await desk.project(project)).id, template_id)
        say(f"template {template_id} is deleted")

    at_desk(context, work)


def _service(desk: Desk) -> "TemplateService":
    from livereel.control.templates import TemplateService
    from livereel.observe.clock import SystemClock

    return TemplateService(desk.catalogue, desk.stores, SystemClock(), lambda: uuid.uuid4().hex)


def _row(template: Template) -> dict[str, Any]:
    return {
        "id": template.id,
        "project_id": template.project_id,
        "domain": template.domain,
        "app": template.app,
        "stream": template.stream,
        "type": template.record_type.value,
        "formats": [wanted.value for wanted in template.formats],
        "bucket": template.address.bucket,
        "object": template.address.object,
        "created": when(template.created_at),
    }
