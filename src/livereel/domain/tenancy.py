"""Projects, users, access keys, tokens, policies and ingest domains. All times are Unix seconds."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Project:
    """A tenant. `id` is 32 lower-case hex characters; `name` is what the SDK looks up (usually a region name)."""

    id: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with credentials in one account domain. `password_hash` is empty for users without a password."""

    id: str
    name: str
    project_id: str
    password_hash: str
    enabled: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An AK/SK pair of a user. `sealed_secret` is the SK encrypted at rest."""

    access: str
    sealed_secret: bytes
    user_id: str
    enabled: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class Token:
    """An X-Auth-Token, kept only as the SHA-256 of its text."""

    digest: str
    user_id: str
    project_id: str
    issued_at: float
    expires_at: float


class Effect(StrEnum):
    """What a policy statement does."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Policy:
    """One statement attached to a user: an effect on action names; `*` in a name matches any characters."""

    id: str
    user_id: str
    effect: Effect
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request, after authentication."""

    user_id: str
    user_name: str
    project_id: str
    access: str | None  # the AK, None with a token


class DomainType(StrEnum):
    """Ingest (`push`) or streaming (`pull`) domain."""

    PUSH = "push"
    PULL = "pull"


class DomainStatus(StrEnum):
    """Whether the domain takes pushes."""

    ON = "on"
    OFF = "off"


MAX_DOMAINS_PER_PROJECT = 64  # spec huawei-live-streams-domains.md section 3.1


@dataclass(frozen=True, slots=True)
class LiveDomain:
    """A domain of `/domain`. Names are unique over all projects, since a push names only the domain."""

    name: str
    project_id: str
    type: DomainType
    status: DomainStatus
    region: str
    service_area: str
    enterprise_project_id: str
    pull_protocol: str
    created_at: float
