"""The `livereel` command: options that count for all commands, and the commands themselves."""

from pathlib import Path
from typing import Annotated

import typer

from livereel import __version__
from livereel.cli import (
    demo,
    doctor,
    keys,
    messages,
    policies,
    projects,
    recordings,
    retention,
    serve,
    templates,
    uploads,
    users,
    verify,
)

app = typer.Typer(
    name="livereel",
    help="Self-hosted live-stream recorder, controlled with the unmodified Huawei Cloud Live SDKs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("uploads")(uploads.uploads)
app.command("verify")(verify.verify)
app.command("retention")(retention.retention)
for group in (projects, users, keys, policies, templates, recordings, messages):
    app.add_typer(group.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"livereel {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file instead of livereel.toml in the working directory.", show_default=False),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    context.obj = config


def main() -> None:
    """Entry point of the console script."""
    app()
