"""`livereel users`: who may log in."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, fail, say, show, when

if TYPE_CHECKING:
    from livereel.domain.tenancy import User

app = typer.Typer(name="users", help="Users: owners of access keys.")

Name = Annotated[str, typer.Argument(help="Name or id of the user.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking for it.")
]
COLUMNS = ["name", "id", "project_id", "enabled", "password", "created"]


@app.command("list")
def list_(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only users of this project (name or id).")] = None,
    as_json: AsJson = False,
) -> None:
    """List users."""

    async def work(desk: Desk) -> None:
        project_id = (await desk.project(project)).id if project else None
        show(COLUMNS, [_row(user) for user in await desk.iam.users(project_id)], as_json=as_json)

    at_desk(context, work)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the new user.")],
    project: Annotated[str | None, typer.Option(help="Its project (name or id); the only one if there is one.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Action the user may do, such as live:record:*; may be repeated. Default: live:*"),
    ] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password, for tokens.")] = False,
    password_stdin: FromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Make a user. Without a password only access keys log in (see `keys create`)."""
    secret = _password(password_stdin) if password or password_stdin else ""

    async def work(desk: Desk) -> None:
        owner = await desk.project(project)
        user = await desk.iam.create_user(name, owner.id, password=secret, actions=allow or ["live:*"])
        show(COLUMNS, [_row(user)], as_json=as_json)

    at_desk(context, work)


@app.command("set-password")
def set_password(context: typer.Context, name: Name, password_stdin: FromStdin = False) -> None:
    """Give a user another password; ends the user's tokens."""
    secret = _password(password_stdin)

    async def work(desk: Desk) -> None:
        user = await desk.user(name)
        await desk.iam.set_password(user.id, secret)
        say(f"{user.name} has a new password")

    at_desk(context, work)


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Let a user in again."""
    _switch(context, name, enabled=True)


@app.command()
def disable(context: typer.Context, name: Name) -> None:
    """Shut a user out: keys and tokens stop working at once."""
    _switch(context, name, enabled=False)


def _switch(context: typer.Context, name: str, *, enabled: bool) -> None:
    async def work(desk: Desk) -> None:
        user = await desk.user(name)
        await desk.iam.set_user_enabled(user.id, enabled)
        say(f"{user.name} is {'enabled' if enabled else 'disabled'}")

    at_desk(context, work)


def _row(user: "User") -> dict[str, Any]:
    row = asdict(user) | {"password": bool(user.password_hash), "created": when(user.created_at)}
    del row["password_hash"]
    return row


def _password(from_stdin: bool) -> str:
    """A password that never stands on the command line, where other users of the machine see it."""
    given = (
        sys.stdin.readline().rstrip("\n")
        if from_stdin
        else str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    )
    if not given:
        fail("the password is empty")
    return given
