"""Names of buckets, and how one in an object store is reached; handed in by whoever read the settings."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from livereel.domain.errors import InvalidName
from livereel.domain.keys import is_address

# The common ground of S3 and OBS, so that a template works unchanged when its bucket moves to an object store.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_bucket(name: str) -> str:
    """Return `name` if it is a bucket name of S3 and OBS (3 to 63 characters); raises InvalidName."""
    if not _BUCKET.fullmatch(name) or any(pair in name for pair in ("..", ".-", "-.")) or is_address(name):
        raise InvalidName(
            f"bucket {name[:64]!r} must have 3 to 63 lower-case letters, digits, '-' and '.', begin and end with a "
            "letter or digit, and not look like an IP address"
        )
    return name


class Provider(StrEnum):
    """What a bucket's URL begins with."""

    S3 = "s3"
    OBS = "obs"
    GCS = "gs"
    AZURE = "az"


#: What credentials may hold, by provider. The first line must be there together, or nothing at all.
CREDENTIAL_NAMES: Mapping[Provider, tuple[str, ...]] = {
    Provider.S3: ("access_key", "secret_key", "session_token"),
    Provider.OBS: ("access_key", "secret_key", "session_token"),
    Provider.GCS: ("service_account",),
    Provider.AZURE: ("account_key", "sas_token"),
}


class Second(NamedTuple):
    """The bucket that takes over when another has been away for `after` seconds."""

    bucket: str
    after: float


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """One bucket. Raises ValueError, saying what to do, for what cannot be used.

    `url` is `s3://bucket`, `obs://bucket`, `gs://bucket` or `az://account/container`, each with a path below which all
    objects lie if wanted. `credentials` has names of CREDENTIAL_NAMES; empty means what the environment offers. `renew`
    reads them again where they can change; it raises OSError or ValueError.
    """

    url: str
    endpoint: str | None = None
    region: str | None = None
    virtual_hosted: bool | None = None
    certificate: bytes | None = None  # PEM of an authority that is trusted besides the usual ones
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    renew: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = _split(self.url)
        if parts.scheme not in list(Provider) or not parts.netloc:
            raise ValueError("url must be s3://bucket, obs://bucket, gs://bucket or az://account/container")
        if parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc:
            raise ValueError("url must hold bucket and path only; credentials and endpoint have places of their own")
        if self.provider is Provider.AZURE and not self.bucket:
            raise ValueError("url must name the container: az://account/container")
        if any(part in {"", ".", ".."} for part in self.prefix.split("/")[:-1]):
            raise ValueError("the path in url may not hold empty, '.' or '..' parts")
        if self.provider is Provider.OBS and self.endpoint is None:
            raise ValueError("obs:// needs an endpoint, such as https://obs.cn-north-4.myhuaweicloud.com")
        if self.provider is Provider.GCS and self.endpoint is not None:
            raise ValueError("gs:// takes no endpoint")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)
        self._check_credentials()

    def _check_credentials(self) -> None:
        known = CREDENTIAL_NAMES[self.provider]
        if unknown := sorted(set(self.credentials) - set(known)):
            raise ValueError(f"credentials may hold {', '.join(known)}, not {', '.join(unknown)}")
        for name, value in self.credentials.items():
            if not value or (name != "service_account" and not (value.isascii() and value.isprintable())):
                raise ValueError(f"credential {name} is empty or holds characters that no credential has")
        if self.s3 and len({"access_key", "secret_key"} & set(self.credentials)) == 1:
            raise ValueError("access_key and secret_key must be given together")

    @property
    def provider(self) -> Provider:
        """Whose interface is spoken."""
        return Provider(_split(self.url).scheme)

    @property
    def s3(self) -> bool:
        """Whether that is S3's."""
        return self.provider in {Provider.S3, Provider.OBS}

    @property
    def account(self) -> str:
        """Azure's storage account."""
        return _split(self.url).netloc

    @property
    def bucket(self) -> str:
        """The bucket's or container's name in the store."""
        parts = _split(self.url)
        return parts.path.strip("/").partition("/")[0] if self.provider is Provider.AZURE else parts.netloc

    @property
    def prefix(self) -> str:
        """What all keys begin with in the store: empty, or a path that ends in a slash."""
        path = _split(self.url).path.strip("/")
        if self.provider is Provider.AZURE:
            path = path.partition("/")[2]
        return f"{path}/" if path else ""

    @property
    def hosted(self) -> bool:
        """Whether the bucket is part of the host name. OBS refuses anything else on its domains since 2023."""
        return self.provider is Provider.OBS if self.virtual_hosted is None else self.virtual_hosted

    @property
    def base_url(self) -> str | None:
        """The endpoint as requests use it: with the bucket in it if `hosted`. None for the provider's own."""
        if self.endpoint is None:
            return None
        parts = urlsplit(self.endpoint.rstrip("/"))
        if self.s3 and self.hosted and not parts.netloc.startswith(f"{self.bucket}."):
            parts = parts._replace(netloc=f"{self.bucket}.{parts.netloc}")
        return parts.geturl()


def _split(url: str) -> SplitResult:
    return urlsplit(url.rstrip("/"))


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("endpoint must be an http:// or https:// URL without query and credentials")
