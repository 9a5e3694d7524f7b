"""`livereel policies`: what users may do."""

from dataclasses import asdict
from typing import Annotated

import typer

from livereel.cli.shell import AsJson, Desk, at_desk, say, show
from livereel.domain.tenancy import Effect

app = typer.Typer(name="policies", help="Policies: what users may do. A Deny outweighs every Allow.")

Owner = Annotated[str, typer.Option("--user", help="Name or id of the user.")]
COLUMNS = ["id", "effect", "actions"]


@app.command("list")
def list_(context: typer.Context, user: Owner, as_json: AsJson = False) -> None:
    """List the policies of a user."""

    async def work(desk: Desk) -> None:
        policies = await desk.iam.policies((await desk.user(user)).id)
        show(COLUMNS, [asdict(policy) for policy in policies], as_json=as_json)

    at_desk(context, work)


@app.command()
def create(
    context: typer.Context,
    user: Owner,
    actions: Annotated[
        list[str], typer.Argument(help="Action names such as live:record:createCommand; * matches any characters.")
    ],
    effect: Annotated[Effect, typer.Option(help="Whether the actions are allowed or denied.")] = Effect.ALLOW,
    as_json: AsJson = False,
) -> None:
    """Attach a policy to a user."""

    async def work(desk: Desk) -> None:
        policy = await desk.iam.attach_policy((await desk.user(user)).id, effect, actions)
        show(COLUMNS, [asdict(policy)], as_json=as_json)

    at_desk(context, work)


@app.command()
def delete(
    context: typer.Context, policy_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the policy.")]
) -> None:
    """Detach a policy from its user."""

    async def work(desk: Desk) -> None:
        await desk.iam.detach_policy(policy_id)
        say(f"policy {policy_id} is deleted")

    at_desk(context, work)
