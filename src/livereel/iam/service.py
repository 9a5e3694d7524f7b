"""Who makes a request, what they may do, and the upkeep of projects, users, keys, tokens and policies.

Authentication raises AuthenticationFailed whose `detail` follows the gateway's wording (spec huawei-live-common.md
section 5.2); authorisation raises PermissionDenied. There is one account per installation; projects are its tenants.
"""

import asyncio
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

import structlog

from livereel.catalogue.port import Catalogue, UnitOfWork
from livereel.domain.clock import Clock
from livereel.domain.errors import AuthenticationFailed, InvalidParameter, PermissionDenied, ResourceNotFound
from livereel.domain.tenancy import AccessKey, Effect, Policy, Principal, Project, Token, User
from livereel.iam import signature
from livereel.iam.lockout import Lockout
from livereel.iam.passwords import PASSWORD_MAX, PASSWORD_MIN, hash_password, verify_password
from livereel.iam.policies import ALL_LIVE_ACTIONS, EVERYTHING, check_actions, permits
from livereel.iam.secrets import Sealer, UnsealError
from livereel.iam.tokens import TOKEN_LIFETIME, new_token, token_digest

log = structlog.get_logger()

ACCOUNT_NAME = "livereel"  # the `domain` of IAM requests
ACCOUNT_ID = "11ee17ee1acc00000000000000000001"  # fixed: there is one account per installation

FIRST_USER = "admin"
ACCESS_LENGTH, SECRET_LENGTH = 20, 40  # characters; what the cloud's own pairs have
NAME_MAX = 64  # characters of project and user names

_UPPER = string.ascii_uppercase + string.digits
_ALNUM = string.ascii_letters + string.digits
_NAME = frozenset(string.ascii_letters + string.digits + "-_.@")

# Password checks take 16 MiB and 0.2 s each: two at a time keep a burst of log-ins from starving recordings.
_PASSWORD_CHECKS = 2

AK_LOCKED = "AK access failed to reach the limit, forbidden"
KEY_FILE_CHANGED = "its secret was sealed with another key file; restore that one, or make a new access key"
TOKEN_UNKNOWN = "decrypt token fail"  # noqa: S105  the gateway's wording
WRONG_PASSWORD = "The username or password is wrong."  # noqa: S105  a message


class NewAccessKey(NamedTuple):
    """A fresh AK/SK pair: the only time the secret is readable."""

    access: str
    secret: str
    user_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """Log-in with a password. The wanted project is named by id, by name, or (both None) is the user's own.

    With `account_scope` the token is good for no project: IAM calls take it, Live calls refuse it.
    """

    user_name: str
    password: str
    account_name: str | None
    project_id: str | None = None
    project_name: str | None = None
    account_scope: bool = False


class IssuedToken(NamedTuple):
    """A new token: the text is shown once, only its digest is kept."""

    text: str
    token: Token
    user: User
    project: Project | None  # None: scoped to the account


class Iam:
    """Authentication and authorisation over the catalogue."""

    def __init__(self, catalogue: Catalogue, clock: Clock, sealer: Sealer) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._sealer = sealer
        self._key_failures = Lockout()
        self._password_failures = Lockout()
        self._password_checks = asyncio.Semaphore(_PASSWORD_CHECKS)

    # -- Authentication

    async def authenticate_signature(self, request: signature.SignedRequest, client: str = "") -> Principal:
        """The owner of the access key that signed `request`; raises AuthenticationFailed.

        Failures lock a key for the address `client` only: an access key is no secret, and whoever knows one must not
        be able to keep its owner from stopping a recording.
        """
        authorization = signature.parse_authorization(request.header("authorization") or "")
        signature.check_date(request, self._clock.now())
        async with self._catalogue.read(latest=False) as uow:
            key = await uow.access_keys.get(authorization.access)
            user = await uow.users.get(key.user_id) if key else None
        if key is None or user is None or not key.enabled or not user.enabled:
            raise AuthenticationFailed(f"Get secretKey failed,ak:{authorization.access},err:ak not exist")
        now, who = self._clock.monotonic(), f"{key.access} {client}"
        if self._key_failures.locked(who, now):
            raise AuthenticationFailed(AK_LOCKED)
        secret = self._secret(key)
        if secret is None:
            log.error("access_key_lost", access=key.access, reason=KEY_FILE_CHANGED)
            raise AuthenticationFailed(f"Get secretKey failed,ak:{key.access},err:its secret cannot be opened")
        try:
            signature.verify(request, authorization, secret)
        except AuthenticationFailed:
            self._key_failures.failed(who, now)
            if self._key_failures.locked(who, now):
                log.warning("access_key_locked", access=key.access, client=client)
            raise
        self._key_failures.succeeded(who)
        return Principal(user.id, user.name, user.project_id, key.access)

    async def authenticate_token(self, text: str) -> Principal:
        """The user that the token was issued to, in the token's project; raises AuthenticationFailed."""
        async with self._catalogue.read(latest=False) as uow:
            token = await uow.tokens.get(token_digest(text))
            user = await uow.users.get(token.user_id) if token else None
        if token is None or user is None or not user.enabled:
            raise AuthenticationFailed(TOKEN_UNKNOWN)
        if token.expires_at <= self._clock.now():
            raise AuthenticationFailed(f"token expires, expires_at: {_iso(token.expires_at)}")
        return Principal(user.id, user.name, token.project_id, None)

    async def issue_token(self, request: TokenRequest) -> IssuedToken:
        """A token for 24 h; older ones stay valid. Raises AuthenticationFailed."""
        async with self._catalogue.read() as uow:
            user = await uow.users.by_name(request.user_name)
            project = await uow.projects.get(user.project_id) if user else None
        await self._check_password(user, request.password)
        account_fits = request.account_name in {None, ACCOUNT_NAME}
        if user is None or not user.enabled or project is None or not account_fits:
            raise AuthenticationFailed(WRONG_PASSWORD)
        if not request.account_scope and not _in_scope(project, request):
            raise AuthenticationFailed("The project of the scope does not exist or is not the user's.")
        scope = None if request.account_scope else project
        now = self._clock.now()
        text = new_token()
        token = Token(token_digest(text), user.id, scope.id if scope else "", now, now + TOKEN_LIFETIME)
        async with self._catalogue.write() as uow:
            await uow.tokens.delete_expired(now)
            await uow.tokens.add(token)
        return IssuedToken(text, token, user, scope)

    async def authorize(self, principal: Principal, action: str) -> None:
        """Raises PermissionDenied unless the user's policies permit `action`."""
        async with self._catalogue.read(latest=False) as uow:
            policies = await uow.policies.list(user_id=principal.user_id)
        if not permits(policies, action):
            raise PermissionDenied(f"user {principal.user_name} is not permitted to do {action}", action)

    # -- Upkeep

    async def bootstrap(self, project_name: str) -> NewAccessKey | None:
        """On an empty catalogue make a project, a user who may do everything and an access key; else return None."""
        async with self._catalogue.write() as uow:
            if await uow.projects.find():
                return None
            project = await self._add_project(uow, project_name)
            user = await self._add_user(uow, FIRST_USER, project.id, "")
            await uow.policies.add(Policy(uuid4().hex, user.id, Effect.ALLOW, (EVERYTHING,)))
            return await self._add_key(uow, user)

    async def create_project(self, name: str) -> Project:
        """Raises InvalidParameter for a bad name, ResourceExists for a taken one."""
        async with self._catalogue.write() as uow:
            return await self._add_project(uow, name)

    async def projects(self, name: str | None = None) -> list[Project]:
        """All projects, or those of that name (at most one)."""
        async with self._catalogue.read() as uow:
            return await uow.projects.find(name=name)

    async def create_user(
        self, name: str, project_id: str, *, password: str = "", actions: Iterable[str] = (ALL_LIVE_ACTIONS,)
    ) -> User:
        """A user of a project who may do `actions` (none at all if empty). Without a password only keys log in.

        Raises InvalidParameter, ResourceNotFound for an unknown project, ResourceExists for a taken name.
        """
        hashed = await self._hash(password) if password else ""
        wanted = tuple(actions)
        async with self._catalogue.write() as uow:
            if await uow.projects.get(project_id) is None:
                raise ResourceNotFound(f"there is no project {project_id[:64]!r}")
            user = await self._add_user(uow, name, project_id, hashed)
            if wanted:
                await uow.policies.add(Policy(uuid4().hex, user.id, Effect.ALLOW, check_actions(wanted)))
            return user

    async def users(self, project_id: str | None = None) -> list[User]:
        """All users, or those of one project."""
        async with self._catalogue.read() as uow:
            return await uow.users.list(project_id=project_id)

    async def set_password(self, user_id: str, password: str) -> None:
        """Ends the user's tokens. Raises InvalidParameter, ResourceNotFound."""
        hashed = await self._hash(password)
        await self._change_user(user_id, password_hash=hashed)

    async def set_user_enabled(self, user_id: str, enabled: bool) -> None:
        """Keys and tokens of a disabled user stop working at once. Raises ResourceNotFound."""
        await self._change_user(user_id, enabled=enabled)

    async def create_key(self, user_id: str) -> NewAccessKey:
        """Another AK/SK pair; raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            return await self._add_key(uow, await _user(uow, user_id))

    async def keys(self, user_id: str | None = None) -> list[AccessKey]:
        """All access keys, or those of one user; secrets stay sealed."""
        async with self._catalogue.read() as uow:
            return await uow.access_keys.list(user_id=user_id)

    async def lost_keys(self) -> list[str]:
        """The access keys that are good for nothing, since their secrets were sealed with another key file."""
        return [key.access for key in await self.keys() if self._secret(key) is None]

    async def set_key_enabled(self, access: str, enabled: bool) -> None:
        """Ends the tokens of the key's user. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            key = await uow.access_keys.get(access)
            if key is None:
                raise ResourceNotFound(f"there is no access key {access[:64]!r}")
            await uow.access_keys.update(replace(key, enabled=enabled))
            await uow.tokens.delete_for_user(key.user_id)

    async def delete_key(self, access: str) -> None:
        """Ends the tokens of the key's user. Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            key = await uow.access_keys.get(access)
            if key is None or not await uow.access_keys.delete(access):
                raise ResourceNotFound(f"there is no access key {access[:64]!r}")
            await uow.tokens.delete_for_user(key.user_id)

    async def attach_policy(self, user_id: str, effect: Effect, actions: Iterable[str]) -> Policy:
        """Raises InvalidParameter for malformed action names, ResourceNotFound for an unknown user."""
        policy = Policy(uuid4().hex, user_id, effect, check_actions(actions))
        async with self._catalogue.write() as uow:
            await _user(uow, user_id)
            await uow.policies.add(policy)
        return policy

    async def policies(self, user_id: str) -> list[Policy]:
        """The policies of a user."""
        async with self._catalogue.read() as uow:
            return await uow.policies.list(user_id=user_id)

    async def detach_policy(self, policy_id: str) -> None:
        """Raises ResourceNotFound."""
        async with self._catalogue.write() as uow:
            if not await uow.policies.delete(policy_id):
                raise ResourceNotFound(f"there is no policy {policy_id[:64]!r}")

    # -- Machinery

    def _secret(self, key: AccessKey) -> str | None:
        try:
            return self._sealer.unseal(key.sealed_secret, key.access)
        except UnsealError:
            return None

    async def _check_password(self, user: User | None, password: str) -> None:
        if user is not None and self._password_failures.locked(user.id, self._clock.monotonic()):
            raise AuthenticationFailed("Too many wrong passwords; try again in a few minutes.")
        async with self._password_checks:
            fits = await asyncio.to_thread(verify_password, password, user.password_hash if user else "")
        if user is None:
            return
        if not fits:
            self._password_failures.failed(user.id, self._clock.monotonic())
            raise AuthenticationFailed(WRONG_PASSWORD)
        self._password_failures.succeeded(user.id)

    async def _hash(self, password: str) -> str:
        if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
            raise InvalidParameter(f"a password must have {PASSWORD_MIN} to {PASSWORD_MAX} characters")
        return await asyncio.to_thread(hash_password, password)

    async def _change_user(
        self, user_id: str, *, password_hash: str | None = None, enabled: bool | None = None
    ) -> None:
        async with self._catalogue.write() as uow:
            user = await _user(uow, user_id)
            if password_hash is not None:
                user = replace(user, password_hash=password_hash)
            if enabled is not None:
                user = replace(user, enabled=enabled)
            await uow.users.update(user)
            await uow.tokens.delete_for_user(user_id)

    async def _add_project(self, uow: UnitOfWork, name: str) -> Project:
        project = Project(uuid4().hex, _check_name(name), self._clock.now())
        await uow.projects.add(project)
        return project

    async def _add_user(self, uow: UnitOfWork, name: str, project_id: str, password_hash: str) -> User:
        user = User(uuid4().hex, _check_name(name), project_id, password_hash, True, self._clock.now())
        await uow.users.add(user)
        return user

    async def _add_key(self, uow: UnitOfWork, user: User) -> NewAccessKey:
        access = "".join(secrets.choice(_UPPER) for _ in range(ACCESS_LENGTH))
        secret = "".join(secrets.choice(_ALNUM) for _ in range(SECRET_LENGTH))
        sealed = self._sealer.seal(secret, access)
        await uow.access_keys.add(AccessKey(access, sealed, user.id, True, self._clock.now()))
        return NewAccessKey(access, secret, user.id, user.project_id)


async def _user(uow: UnitOfWork, user_id: str) -> User:
    user = await uow.users.get(user_id)
    if user is None:
        raise ResourceNotFound(f"there is no user {user_id[:64]!r}")
    return user


def _in_scope(project: Project, request: TokenRequest) -> bool:
    if request.project_id is not None:
        return request.project_id == project.id
    return request.project_name in {None, project.name}


def _check_name(name: str) -> str:
    if not 1 <= len(name) <= NAME_MAX or not _NAME.issuperset(name):
        raise InvalidParameter(f"a name must have 1 to {NAME_MAX} letters, digits or - _ . @, not {name[:NAME_MAX]!r}")
    return name


def _iso(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
