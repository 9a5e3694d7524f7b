"""`livereel projects`: tenants."""

from dataclasses import asdict
from typing import Annotated

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, show, when

app = typer.Typer(name="projects", help="Projects: tenants with streams of their own.")


@app.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """List projects."""

    async def work(desk: Desk) -> None:
        rows = [asdict(p) | {"created": when(p.created_at)} for p in await desk.iam.projects()]
        show(["name", "id", "created"], rows, as_json=as_json)

    at_desk(context, work)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name; SDK clients look projects up by region name.")],
    as_json: AsJson = False,
) -> None:
    """Make a project."""

    async def work(desk: Desk) -> None:
        show(["name", "id"], [asdict(await desk.iam.create_project(name))], as_json=as_json)

    at_desk(context, work)
