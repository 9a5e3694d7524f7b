"""Users, keys and policies for tests, made as an operator makes them: with the livereel command."""

import json
from typing import Any, NamedTuple

from tests.acceptance.api import Credentials
from tests.acceptance.server import LiveServer

PASSWORD = "A-passw0rd-of-the-tests"


class User(NamedTuple):
    """A user with an access key."""

    name: str
    credentials: Credentials


def new_user(
    server: LiveServer,
    name: str,
    *,
    allow: tuple[str, ...] = (),
    deny: tuple[str, ...] = (),
    password: bool = False,
    project: str | None = None,
) -> User:
    """Make a user of the first project (or another one) with a key; without `allow` it may do everything."""
    assert server.credentials is not None
    owner = project or server.credentials.project_id
    options = [option for action in allow for option in ("--allow", action)]
    stdin = f"{PASSWORD}\n" if password else ""
    options += ["--password-stdin"] if password else []
    server.cli("users", "create", name, "--project", owner, *options, stdin=stdin)
    if deny:
        server.cli("policies", "create", "--user", name, "--effect", "Deny", *deny)
    key: dict[str, Any] = json.loads(server.cli("keys", "create", "--user", name, "--json"))
    return User(name, Credentials(key["access"], key["secret"], key["project_id"]))


def new_project(server: LiveServer, name: str) -> str:
    """Make a project; its id."""
    server.cli("projects", "create", name)
    projects = json.loads(server.cli("projects", "list", "--json"))
    return next(str(project["id"]) for project in projects if project["name"] == name)
