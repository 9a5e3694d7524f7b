"""`livereel keys`: AK/SK pairs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, print_json, say, show, when

if TYPE_CHECKING:
    from livereel.domain.tenancy import AccessKey

app = typer.Typer(name="keys", help="Access keys: AK/SK pairs that sign requests.")

Access = Annotated[str, typer.Argument(help="The AK.")]


@app.command("list")
def list_(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="Only keys of this user (name or id).")] = None,
    as_json: AsJson = False,
) -> None:
    """List access keys; secrets are never shown again."""

    async def work(desk: Desk) -> None:
        owners = {owner.id: owner.name for owner in await desk.iam.users()}
        keys = await desk.iam.keys((await desk.user(user)).id if user else None)
        show(["access", "user", "enabled", "created"], [_row(key, owners) for key in keys], as_json=as_json)

    at_desk(context, work)


@app.command()
def create(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Owner of the key (name or id).")] = "admin",
    as_json: AsJson = False,
) -> None:
    """Make an access key. Its secret is shown once, now."""

    async def work(desk: Desk) -> None:
        key = await desk.iam.create_key((await desk.user(user)).id)
        if as_json:
            print_json(key._asdict())
            return
        say(f"AK       {key.access}")
        say(f"SK       {key.secret}   (shown only now)")
        say(f"project  {key.project_id}")

    at_desk(context, work)


@app.command()
def enable(context: typer.Context, access: Access) -> None:
    """Let a key work again."""
    _switch(context, access, enabled=True)


@app.command()
def disable(context: typer.Context, access: Access) -> None:
    """Stop a key from working, without deleting it."""
    _switch(context, access, enabled=False)


@app.command()
def delete(context: typer.Context, access: Access) -> None:
    """Delete a key for good."""

    async def work(desk: Desk) -> None:
        await desk.iam.delete_key(access)
        say(f"{access} is deleted")

    at_desk(context, work)


def _switch(context: typer.Context, access: str, *, enabled: bool) -> None:
    async def work(desk: Desk) -> None:
        await desk.iam.set_key_enabled(access, enabled)
        say(f"{access} is {'enabled' if enabled else 'disabled'}")

    at_desk(context, work)


def _row(key: "AccessKey", owners: dict[str, str]) -> dict[str, Any]:
    row = asdict(key) | {"user": owners.get(key.user_id), "created": when(key.created_at)}
    del row["sealed_secret"]
    return row
