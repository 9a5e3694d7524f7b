"""Projects, users, access keys, tokens, policies, domains and their settings. All times are Unix seconds."""

import re
from dataclasses import dataclass
from enum import StrEnum

from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import check_domain


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
    """A domain of `/domain`. Names are unique over all projects, since a push names only the domain.

    With `stream_backup` several encoders may push the same stream: the first one is live, the next one takes over when
    it breaks (`domain/stream-backup`).
    """

    name: str
    project_id: str
    type: DomainType
    status: DomainStatus
    region: str
    service_area: str
    enterprise_project_id: str
    pull_protocol: str
    created_at: float
    stream_backup: bool = False


@dataclass(frozen=True, slots=True)
class DomainMapping:
    """Streams of `push_domain` are played through `pull_domain` (`domains_mapping`)."""

    pull_domain: str
    push_domain: str
    project_id: str

    def __post_init__(self) -> None:
        if check_domain(self.pull_domain) == check_domain(self.push_domain):
            raise InvalidParameter("pull_domain and push_domain must differ")


class AuthType(StrEnum):
    """How URLs of a domain are signed (spec huawei-live-streams-domains.md section 4.2)."""

    A_MD5 = "a_md5"
    B_MD5 = "b_md5"
    C_AES = "c_aes"
    D_SHA256 = "d_sha256"


KEY_CHAIN_KEY_LENGTH = 32  # characters (spec huawei-live-streams-domains.md section 4.1)
KEY_CHAIN_TIMEOUT_MIN, KEY_CHAIN_TIMEOUT_MAX = 60, 2_592_000  # seconds; the maximum is 30 days

_KEY_CHAIN_KEY = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class KeyChain:
    """URL signing of a domain (`guard/key-chain`): pushes without a valid signature are refused.

    `timeout` is the greatest age of a URL in seconds. `key` is plain text in the catalogue: checking a signature needs
    the text itself, the API shows it to its owner, and the catalogue file is readable by the server's user alone.
    """

    domain: str
    key: str
    auth_type: AuthType
    timeout: int

    def __post_init__(self) -> None:
        check_domain(self.domain)
        if len(self.key) != KEY_CHAIN_KEY_LENGTH or not _KEY_CHAIN_KEY.fullmatch(self.key):
            raise InvalidParameter(f"key must have {KEY_CHAIN_KEY_LENGTH} characters, both letters and digits")
        if not KEY_CHAIN_TIMEOUT_MIN <= self.timeout <= KEY_CHAIN_TIMEOUT_MAX:
            raise InvalidParameter(
                f"timeout must be {KEY_CHAIN_TIMEOUT_MIN} to {KEY_CHAIN_TIMEOUT_MAX} seconds, not {self.timeout}"
            )


@dataclass(frozen=True, slots=True)
class BucketGrant:
    """Livereel may write to `bucket` for this project (`obs/authority`). Storage checks the grammar of the name."""

    project_id: str
    bucket: str
