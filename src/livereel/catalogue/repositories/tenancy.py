"""Projects, users, access keys, tokens, policies, ingest domains, and answers to requests seen before."""

from dataclasses import asdict

from sqlalchemy import select

from livereel.catalogue import tables
from livereel.catalogue.port import SeenRequest
from livereel.catalogue.repositories.base import Repository
from livereel.domain.tenancy import (
    AccessKey,
    Effect,
    Policy,
    Project,
    Token,
    User,
)


class SqlProjects(Repository):
    """`port.Projects`."""

    async def add(self, project: Project) -> None:
        await self._insert(tables.projects, asdict(project), f"project {project.name!r} exists already")

    async def get(self, project_id: str) -> Project | None:
        row = await self._row(tables.projects, id=project_id)
        return Project(**row) if row else None

    async def find(self, *, name: str | None = None) -> list[Project]:
        statement = select(tables.projects).order_by(tables.projects.c.created_at, tables.projects.c.id)
        if name is not None:
            statement = statement.where(tables.projects.c.name == name)
        return [Project(**row) for row in await self._all(statement)]


class SqlUsers(Repository):
    """`port.Users`."""

    async def add(self, user: User) -> None:
        await self._insert(tables.users, asdict(user), f"user {user.name!r} exists already")

    async def get(self, user_id: str) -> User | None:
        row = await self._row(tables.users, id=user_id)
        return User(**row) if row else None

    async def by_name(self, name: str) -> User | None:
        row = await self._row(tables.users, name=name)
        return User(**row) if row else None

    async def update(self, user: User) -> None:
        await self._update(
            tables.users,
            {"id": user.id},
            asdict(user),
            missing=f"there is no user {user.id}",
            taken=f"user {user.name!r} exists already",
        )

    async def list(self, *, project_id: str | None = None) -> list[User]:
        statement = select(tables.users).order_by(tables.users.c.name)
        if project_id is not None:
            statement = statement.where(tables.users.c.project_id == project_id)
        return [User(**row) for row in await self._all(statement)]


class SqlAccessKeys(Repository):
    """`port.AccessKeys`."""

    async def add(self, key: AccessKey) -> None:
        await self._insert(tables.access_keys, asdict(key), f"access key {key.access} exists already")

    async def get(self, access: str) -> AccessKey | None:
        row = await self._row(tables.access_keys, access=access)
        return AccessKey(**row) if row else None

    async def update(self, key: AccessKey) -> None:
        this = {"access": key.access}
        await self._update(tables.access_keys, this, asdict(key), missing=f"there is no access key {key.access}")

    async def delete(self, access: str) -> bool:
        return await self._remove(tables.access_keys, access=access)

    async def list(self, *, user_id: str | None = None) -> list[AccessKey]:
        statement = select(tables.access_keys).order_by(tables.access_keys.c.created_at, tables.access_keys.c.access)
        if user_id is not None:
            statement = statement.where(tables.access_keys.c.user_id == user_id)
        return [AccessKey(**row) for row in await self._all(statement)]


class SqlTokens(Repository):
    """`port.Tokens`."""

    async def add(self, token: Token) -> None:
        await self._insert(tables.tokens, asdict(token), "the token exists already")

    async def get(self, digest: str) -> Token | None:
        row = await self._row(tables.tokens, digest=digest)
        return Token(**row) if row else None

    async def delete_for_user(self, user_id: str) -> None:
        await self._remove(tables.tokens, user_id=user_id)

    async def delete_expired(self, now: float) -> None:
        await self._delete_many(tables.tokens, tables.tokens.c.expires_at <= now)


class SqlPolicies(Repository):
    """`port.Policies`."""

    async def add(self, policy: Policy) -> None:
        row = asdict(policy) | {"actions": [*policy.actions]}
        await self._insert(tables.policies, row, f"policy {policy.id} exists already")

    async def delete(self, policy_id: str) -> bool:
        return await self._remove(tables.policies, id=policy_id)

    async def list(self, *, user_id: str) -> list[Policy]:
        return [
            Policy(row["id"], row["user_id"], Effect(row["effect"]), tuple(row["actions"]))
            for row in await self._rows(tables.policies, "id", user_id=user_id)
        ]


class SqlSeenRequests(Repository):
    """`port.SeenRequests`."""

    async def get(self, signature: str) -> SeenRequest | None:
        row = await self._row(tables.seen_requests, signature=signature)
        return SeenRequest(**row) if row else None

    async def add(self, seen: SeenRequest) -> None:
        await self._insert(tables.seen_requests, seen._asdict(), "a request with this signature was answered already")

    async def delete_expired(self, now: float) -> None:
        await self._delete_many(tables.seen_requests, tables.seen_requests.c.expires_at <= now)
