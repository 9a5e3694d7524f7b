"""Every setting of the server, with its default and the reason for it.

A value comes from the environment (`LIVEREEL_RTMP__PORT`), else from `livereel.toml` (`[rtmp]` `port`), else from here.
docs/operate/settings.md is generated from this module. Only `livereel.app` and the command line read settings; all
other packages are handed plain arguments.
"""

import ipaddress
import json
import os
import socket
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic import model_validator as check_model
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from livereel.domain.errors import LivereelError
from livereel.domain.keys import check_domain
from livereel.domain.retention import BYTES_MAX, MAX_AGE_MAX, MAX_AGE_MIN, RetentionRule
from livereel.observe.logging import LogFormat, LogLevel
from livereel.storage.config import CREDENTIAL_NAMES, BucketConfig, Provider, Second, check_bucket

CONFIG_FILE = Path("livereel.toml")  # looked for in the working directory
CONFIG_VARIABLE = "LIVEREEL_CONFIG"  # names another file
PREFIX = "LIVEREEL_"

MIB = 1024 * 1024
Port = Annotated[int, Field(ge=0, le=65535)]


class BadSettings(LivereelError):
    """A setting cannot be used. `detail` is one line that names it and says where it was read."""


def _split_commas(value: object) -> object:
    """Lists may be written `a,b` in the environment."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


#: This machine.
LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1"))


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LogSettings(_Group):
    """What the log holds and looks like. It goes to standard error, that of worker processes too. Lines name the
    `stream`, the `task` and the `request_id` they are about, as far as there are any; a request that was refused is
    logged with the reason (`error`). Applications have the `request_id` from the header `X-request-id`."""

    level: LogLevel = "info"
    """Lowest level that is logged: `debug`, `info`, `warning` or `error`. `info` is a few lines per push and
    recording."""
    format: LogFormat = "console"
    """`console` for people, `json` (one object per line) for log collectors."""


class RtmpSettings(_Group):
    """Where encoders push to."""

    host: str = "0.0.0.0"  # noqa: S104  encoders are elsewhere
    """Address to listen on. All addresses by default, since encoders are rarely on the same machine."""
    port: Port = 1935
    """Port to listen on; 1935 is RTMP's own. 0 takes a free one."""
    default_domain: str = "publish.livereel.internal"
    """Ingest domain of pushes whose URL holds an address instead of a host name (`rtmp://192.0.2.7/live/cam`), so that
    a first try needs no DNS."""
    max_connections: int = Field(default=2000, ge=1)
    """Open connections at most; more are closed at once. 2000 stays below the usual limit of 4096 open files with one
    spool file per recorded stream. Raise `ulimit -n` with it."""
    handshake_timeout: float = Field(default=10.0, ge=0.1, le=600)
    """Seconds a peer has for RTMP's handshake: two round trips, 1 to 2 s on bad mobile links."""
    publish_timeout: float = Field(default=30.0, ge=0.1, le=600)
    """Seconds a peer has until it publishes, so that those who only hold connections open are gone soon."""
    idle_timeout: float = Field(default=30.0, ge=0.5, le=3600)
    """Seconds without a byte after which a push is over: a cable was pulled, a NAT forgot the connection. Encoders send
    every 20 to 40 ms. An encoder that comes back sooner is refused until then, unless the domain has `stream_backup`;
    shorter suits such encoders, longer suits links that stall."""

    @field_validator("default_domain")
    @classmethod
    def _domain(cls, value: str) -> str:
        return _checked(check_domain, value)


class ApiSettings(_Group):
    """The HTTP API and the download links it gives out."""

    host: str = "0.0.0.0"  # noqa: S104  applications are elsewhere; every request is authenticated
    """Address to listen on. All addresses by default: every request but health checks must be signed, and metrics are
    for `metrics_allow` only."""
    port: Port = 8280
    """Port to listen on; 8280 is seldom anybody else's and needs no privileges. 0 takes a free one."""
    max_connections: int = Field(default=500, ge=1, le=100_000)
    """Open connections at most; more are closed at once. Applications need a few each; a limit keeps strangers from
    taking the open files that recordings need."""
    request_timeout: float = Field(default=30.0, ge=0.1, le=3600)
    """Seconds in which a request must have come in whole, body included. 30 s are 3 kbit/s for a usual request and
    3 Mbit/s for the largest."""
    tls_certificate: Path | None = None
    """PEM file with the certificate and its chain. Set together with `tls_key` to serve HTTPS; plain HTTP without, for
    use behind a proxy or on one machine."""
    tls_key: Path | None = None
    """PEM file with the private key of `tls_certificate`, readable by the server only."""
    public_url: str | None = None
    """Base of download links, as clients reach this server (`https://rec.example.com`). Derived from `host` and `port`
    when not set, with 127.0.0.1 for "all addresses": good for a try on one machine only."""
    download_lifetime: int = Field(default=3600, ge=60, le=7 * 86400)
    """Seconds a download link works. An hour is enough to fetch a file and short enough for a link that leaks; each
    listing gives fresh links."""
    metrics_allow: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], NoDecode, BeforeValidator(_split_commas)
    ] = LOOPBACK
    """Networks or addresses that may read `/metrics`, without credentials: `["127.0.0.1", "10.1.2.0/24"]`. This machine
    alone by default; to all others the path does not exist. Behind a proxy on this machine everybody comes from it, so
    let the proxy keep the path to itself."""
    rate_limits: bool = True
    """Refuse requests beyond the documented quotas of the cloud (300 a minute per user and operation for most, see
    docs/api/limits.md) with 429. On by default, so that applications meet here what they will meet there, and one of
    them cannot take the server from the others."""
    rate_limit_factor: float = Field(default=1.0, gt=0, le=1000)
    """Multiplies every quota. Raise it when hundreds of streams are started together, or switch `rate_limits` off."""

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http:// or https:// URL without query")
        return value.rstrip("/")

    @check_model(mode="after")
    def _tls_pair(self) -> "ApiSettings":
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key must be set together")
        return self

    @property
    def tls(self) -> bool:
        """Whether HTTPS is served."""
        return self.tls_certificate is not None


class RecorderSettings(_Group):
    """How recordings are made."""

    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=256)
    """Worker processes that make files from spools. One per core by default: each muxes on one thread."""
    record_cycle_zero: Literal["6h", "whole"] = "6h"
    """What `record_cycle` 0 in a template means: files of six hours, as the API documents since 2024, or (`whole`) one
    file for the whole recording, as before."""
    verify: Literal["off", "packets", "keyframes", "full"] = "keyframes"
    """How thoroughly each record file is read again once it is closed: `packets` compares every packet with what was
    received, `keyframes` decodes every key frame as well, `full` every frame, `off` only computes SHA-256 sums. For an
    hour of 1080p in one format `packets` takes 6 s of CPU, `keyframes` 10 s, `full` 160 s. See
    [../topics/verification.md](../topics/verification.md)."""
    verify_workers: int = Field(default=2, ge=1, le=64)
    """Worker processes that do so, at low priority. They start with the first recording. Two by default, so that short
    files need not wait for a long one."""
    pre_roll_keep: float = Field(default=0.0, ge=0, le=60)
    """Seconds of every live stream nobody records that are kept in memory, so that any START may ask for `pre_roll`.
    0 by default: a stream of 4 Mbit/s takes 0.5 MB a second. Templates with `pre_roll` keep what they need anyway."""
    first_key_frame_timeout: float = Field(default=10.0, gt=0, le=300)
    """Seconds START waits for a key frame on a live stream before it fails. Encoders send one every 1 to 4 s; 10 covers
    the longest common setting."""


class SnapshotSettings(_Group):
    """Pictures of live streams (`stream/snapshot`)."""

    workers: int = Field(default=1, ge=1, le=64)
    """Worker processes that make pictures. They start with the first picture. One makes some 30 pictures of 1080p a
    second: 150 streams at the shortest interval."""


class PullSettings(_Group):
    """Sources that are pulled and pushed into streams (`pull/stream/task`)."""

    max_tasks: int = Field(default=16, ge=1, le=1000)
    """Open pull tasks at most, of all projects. Each is a process of some 50 MB while it runs."""
    allow_private: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], NoDecode, BeforeValidator(_split_commas)
    ] = ()
    """Networks or addresses that sources and destinations may be at although they are not public: cameras and servers
    of your own network. None by default, since a URL given through the API must not reach this machine's own
    neighbours."""


class CatalogueSettings(_Group):
    """The database."""

    url: SecretStr | None = None
    """URL of the database: `postgresql://user:password@host/name`, or
    `sqlite:////path/file.db`. Default: `catalogue.db` in `data_dir`, which needs no other server."""


class SpoolSettings(_Group):
    """The append-only record of what was received, from which all files are made."""

    max_backlog: int = Field(default=256 * MIB, ge=16 * MIB)
    """Bytes that may wait in memory for a slow disk, all streams together; beyond it publishing sockets are read more
    slowly. 256 MiB is about 13 s of 60 streams of 2.7 Mbit/s. Half of it is for whoever needs it, the other half is
    divided evenly, so that a spool whose disk hangs takes nothing from the others."""
    fsync_interval: Annotated[float, Field(ge=0, le=60)] | Literal["off"] = 1.0
    """Seconds between two fsyncs of what was received: a power cut takes that much of a recording at most, plus what
    was unread in the socket. 0 syncs after every write, about twice a second and stream. `off` leaves it to the
    kernel, which takes its time (30 s are usual), and then START answers without waiting for the disk: for disks that
    cannot lose power, and for tests. What it costs: docs/decisions/0013-power-loss.md."""

    @property
    def sync_seconds(self) -> float | None:
        """The interval, None for `off`."""
        return None if self.fsync_interval == "off" else self.fsync_interval


class DiskSettings(_Group):
    """The disk of spools and of files under way (`data_dir`). Pushes are accepted whatever it says. See
    [../topics/full-disk.md](../topics/full-disk.md)."""

    high_water: float = Field(default=0.95, ge=0.05, le=1.0)
    """Share of the file system in use above which no new recording begins. What is left is for those that run: 0.95 of
    1 TB leaves 50 GB, an hour of 20 streams of 2.7 Mbit/s with spool and one format."""
    reserve: int | None = Field(default=None, ge=MIB)
    """Bytes kept free for finishing files: below it running recordings are ended, below twice as much none begins.
    Default: 64 MiB, and for each open file 8 MiB and what a worker has not read of its spool yet; that is what
    finishing all of them takes, since files are copies of their spool."""


class BucketSettings(_Group):
    """A bucket in an object store. `<name>` is what templates call it; a bucket without such settings is a directory of
    `storage.root`. How to set up S3, OBS, GCS, Azure, MinIO and SeaweedFS: [storage.md](storage.md)."""

    url: str
    """`s3://bucket`, `obs://bucket`, `gs://bucket` or `az://account/container`, with a path behind it if all objects
    are to lie below one. Never with credentials."""
    endpoint: str | None = None
    """Base URL of the store, for S3 and what speaks as it does (`https://obs.cn-north-4.myhuaweicloud.com`) and for
    Azure. Not needed for Amazon, Google and Azure themselves."""
    region: str | None = None
    """Region that requests are signed for, for S3 and OBS. us-east-1 by default, which most stores of one's own
    take."""
    virtual_hosted: bool | None = None
    """Put the bucket into the host name (`https://bucket.host`) instead of the path. By default for `obs://`, which
    refuses anything else, and not for `s3://`, since stores of one's own have no such names."""
    credentials_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Prefix of the environment variables with the credentials: `OBS` reads `OBS_ACCESS_KEY` and `OBS_SECRET_KEY`.
    Without this and `credentials_file` the usual places of the provider count, such as the role of the machine."""
    credentials_file: Path | None = None
    """File with the credentials, readable by the server only: TOML with `access_key` and `secret_key` (Azure:
    `account_key` or `sas_token`), or Google's service account as JSON. Google's is read at the start; the others
    are read again when they change, so keys that are lent for hours need no restart."""
    certificate_file: Path | None = None
    """PEM file with the authority that signed the store's TLS certificate, if that is none of the public ones."""
    second: str | None = None
    """Name of another bucket that takes over while this one is away: one of these, or a directory. Listings, callbacks
    and links name where a file really is. None by default: files wait on this machine. See [storage.md](storage.md)."""
    second_after: float = Field(default=300.0, ge=0)
    """Seconds for which this bucket must have been away. 300 rides out restarts of a store, and a disk is not filled
    by 5 minutes."""

    @check_model(mode="after")
    def _usable(self) -> "BucketSettings":
        self.plain()
        if self.credentials_env is not None and self.credentials_file is not None:
            raise ValueError("credentials_env and credentials_file cannot be set both")
        return self

    def plain(self) -> BucketConfig:
        """Without credentials and certificate: enough to say where objects are."""
        return BucketConfig(self.url, self.endpoint, self.region, self.virtual_hosted)

    def config(self, environment: Mapping[str, str] = os.environ) -> BucketConfig:
        """With credentials and certificate. Raises ValueError or OSError."""
        plain = self.plain()
        renews = self.credentials_file is not None and plain.provider is not Provider.GCS
        return replace(
            plain,
            renew=(lambda: self._secrets(plain, environment)) if renews else None,
            certificate=None if self.certificate_file is None else self.certificate_file.read_bytes(),
            credentials=self._secrets(plain, environment),
        )

    def _secrets(self, plain: BucketConfig, environment: Mapping[str, str]) -> dict[str, str]:
        return {name: secret.get_secret_value() for name, secret in self._credentials(plain, environment).items()}

    def _credentials(self, plain: BucketConfig, environment: Mapping[str, str]) -> dict[str, SecretStr]:
        if self.credentials_file is not None:
            return _credentials_in(self.credentials_file, plain.provider)
        if self.credentials_env is None:
            return {}
        variables = {name: f"{self.credentials_env}_{name.upper()}" for name in CREDENTIAL_NAMES[plain.provider]}
        found = {name: SecretStr(environment[key]) for name, key in variables.items() if environment.get(key)}
        if not found:
            raise ValueError(f"credentials_env: none of {', '.join(variables.values())} is set in the environment")
        return found


class StorageSettings(_Group):
    """Where finished files end up: each bucket that templates name is a directory, or in an object store if it is
    listed in `storage.buckets`."""

    root: Path | None = None
    """Directory whose sub-directories are the buckets that templates name. Default: `store` in `data_dir`."""
    create_buckets: bool = True
    """Make the directory of a bucket that does not exist yet, so that a template works at once. Switch off to accept
    only buckets that were made by hand."""
    buckets: dict[str, BucketSettings] = Field(default_factory=dict)
    """Buckets in object stores, each with settings of its own (below). None by default: everything stays on this
    machine."""

    @field_validator("buckets")
    @classmethod
    def _names(cls, value: dict[str, BucketSettings]) -> dict[str, BucketSettings]:
        for name, bucket in value.items():
            _checked(check_bucket, name)
            if bucket.second is not None and _checked(check_bucket, bucket.second) == name:
                raise ValueError(f"{name}.second must be another bucket")
        return value


class RetentionSettings(_Group):
    """Which recordings are deleted by themselves, the oldest first: those of templates that have no `retention` of
    their own. Only what is stored, of recordings that are over and not held. Nothing by default: what was recorded
    stays. `livereel retention --dry-run` shows what would go. See [../topics/retention.md](../topics/retention.md)."""

    max_age: float | None = Field(default=None, ge=MAX_AGE_MIN, le=MAX_AGE_MAX)
    """Seconds after its end that a file is deleted; 30 days are 2592000."""
    max_size: int | None = Field(default=None, ge=1, le=BYTES_MAX)
    """Bytes that these files may take, all buckets together."""
    min_free: int | None = Field(default=None, ge=1, le=BYTES_MAX)
    """Bytes that are to be free on the file system of a bucket that is a directory. Object stores do not tell."""
    damaged_max_age: Annotated[float, Field(ge=MAX_AGE_MIN, le=MAX_AGE_MAX)] | Literal["never"] = 30 * 86400.0
    """Seconds that the spool of a damaged file is kept (`damaged` in `data_dir`, see
    [../topics/verification.md](../topics/verification.md)); `never` deletes none. Those of held recordings stay, those
    of deleted ones go at once. 30 days by default: time to look into it, and no disk fills with what nobody looks
    into."""

    @property
    def damaged_seconds(self) -> float | None:
        """`damaged_max_age`, None for `never`."""
        return None if self.damaged_max_age == "never" else self.damaged_max_age

    def rule(self) -> RetentionRule:
        """As the domain has it."""
        return RetentionRule(self.max_age, self.max_size, self.min_free)


class CallbackSettings(_Group):
    """Notifications and callbacks sent to applications."""

    allow_private: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], NoDecode, BeforeValidator(_split_commas)
    ] = ()
    """Networks or addresses that may be called although they are not public: `["10.1.0.0/16", "127.0.0.1"]`. None by
    default, since a URL given through the API must not reach this machine's own neighbours."""
    timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds an attempt may take in all. The receiver only has to answer 200; slower ones are tried again later."""
    on_demand_timeout: float = Field(default=3.0, gt=0, le=10)
    """Seconds that the service asked by an ON_DEMAND_RECORD template has to answer. What is pushed meanwhile is kept,
    and recorded if the answer says so."""
    on_demand_failure: Literal["record", "ignore"] = "record"
    """What happens to a push when that service gives no usable answer: `record` it as the template says, since a show
    that was not recorded is gone, or `ignore` it."""
    retry_horizon: float = Field(default=86400.0, ge=60)
    """Seconds a message is tried before it is given up (kept and listed, not sent). 24 h outlasts a night without
    anybody at the receiver."""
    download_lifetime: int = Field(default=86400, ge=60, le=7 * 86400)
    """Seconds the download link in a RECORD_FILE_COMPLETE works, from the attempt that delivers it. A day, since
    applications queue what they are told; `record/contents` gives fresh links."""


class Settings(BaseSettings):
    """All settings. Keyword arguments are what the file says; the environment beats them."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=False,
        use_attribute_docstrings=True,
    )

    data_dir: Path = Path("livereel-data")
    """Directory for all that is kept: catalogue, spools, files (unless `storage.root` is set) and the key that seals
    secrets. In the working directory by default; back it up as a whole."""
    node: str = Field(default_factory=socket.gethostname, min_length=1, max_length=255)
    """Name of this machine in tasks and request ids. The host name by default. Unfinished recordings belong to a node:
    keep it the same over restarts."""
    region: str = Field(default="livereel-1", min_length=1, max_length=64)
    """Region that SDK clients name; the default project bears this name, which is how clients find their project."""
    stop_grace: float = Field(default=20.0, ge=0, le=3600)
    """Seconds an orderly stop may take to finish and store files. What is left is finished at the next start. 20 stays
    below the 30 s after which container platforms kill."""
    log: LogSettings = LogSettings()
    rtmp: RtmpSettings = RtmpSettings()
    api: ApiSettings = ApiSettings()
    recorder: RecorderSettings = Field(default_factory=RecorderSettings)
    snapshots: SnapshotSettings = SnapshotSettings()
    pulls: PullSettings = PullSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    spool: SpoolSettings = SpoolSettings()
    disk: DiskSettings = DiskSettings()
    storage: StorageSettings = StorageSettings()
    retention: RetentionSettings = RetentionSettings()
    callbacks: CallbackSettings = CallbackSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment beats the file; no other source is read."""
        return env_settings, init_settings

    def catalogue_url(self) -> str:
        """The database URL, with its password."""
        if self.catalogue.url is not None:
            return self.catalogue.url.get_secret_value()
        return f"sqlite:///{(self.data_dir / 'catalogue.db').absolute()}"

    def storage_root(self) -> Path:
        """The directory of the buckets."""
        return self.storage.root if self.storage.root is not None else self.data_dir / "store"

    def bucket_configs(self) -> dict[str, BucketConfig]:
        """The buckets in object stores, with their credentials. Raises BadSettings."""
        return {name: self.bucket_config(name) for name in self.storage.buckets}

    def bucket_config(self, name: str) -> BucketConfig:
        """One of `storage.buckets`, with its credentials. Raises BadSettings."""
        try:
            return self.storage.buckets[name].config()
        except OSError as problem:
            raise BadSettings(f"storage.buckets.{name}: {problem.filename}: {problem.strerror}") from None
        except ValueError as problem:
            raise BadSettings(f"storage.buckets.{name}: {problem}") from None

    def second_buckets(self) -> dict[str, Second]:
        """The buckets that take over for others, by the name of the first."""
        return {
            name: Second(bucket.second, bucket.second_after)
            for name, bucket in self.storage.buckets.items()
            if bucket.second is not None
        }

    def spool_dir(self) -> Path:
        """The directory of the spools."""
        return self.data_dir / "spool"

    def work_dir(self) -> Path:
        """The directory of files that are being made."""
        return self.data_dir / "work"

    def damaged_dir(self) -> Path:
        """The directory of the spools of damaged files."""
        return self.data_dir / "damaged"

    def pulls_dir(self) -> Path:
        """The directory of the places that loops of files have come to."""
        return self.data_dir / "pulls"

    def rtmp_address(self, port: int) -> str:
        """host:port of our own RTMP server as processes of this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.rtmp.host, self.rtmp.host)  # noqa: S104
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def key_file(self) -> Path:
        """The file with the key that seals secrets and signs download links."""
        return self.data_dir / "livereel.key"

    def public_url(self, port: int | None = None) -> str:
        """Base URL of the API for clients, without a trailing slash. `port` is the real one when `api.port` is 0."""
        if self.api.public_url is not None:
            return self.api.public_url
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(self.api.host, self.api.host)  # noqa: S104
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"{'https' if self.api.tls else 'http'}://{host}:{port or self.api.port}"


def config_path(given: Path | None = None) -> Path | None:
    """The file that `load` reads: the given one, the one of LIVEREEL_CONFIG, or livereel.toml here if there is one."""
    if given is not None:
        return given
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    return CONFIG_FILE if CONFIG_FILE.is_file() else None


def load(path: Path | None = None) -> Settings:
    """The settings of this process. Relative paths are relative to the working directory. Raises BadSettings."""
    source = config_path(path)
    values = _read(source) if source is not None else {}
    try:
        return Settings(**values)
    except ValidationError as problem:
        raise BadSettings(_explain(problem, source)) from None
    except SettingsError as problem:
        raise BadSettings(f"environment: {problem}") from None


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """LIVEREEL_* variables that are nobody's. They are not refused: platforms make such variables for services."""
    groups = tuple(f"{PREFIX}{name}__".upper() for name in Settings.model_fields)
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | {
        CONFIG_VARIABLE,
        "LIVEREEL_DEMUXER",
        "LIVEREEL_COMPILE",
    }
    ours = (name for name in environment if name.upper().startswith(PREFIX))
    return sorted(name for name in ours if name.upper() not in known and not name.upper().startswith(groups))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise BadSettings(f"{path}: cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as problem:
        raise BadSettings(f"{path}: is not TOML: {problem}") from None


def _explain(problem: ValidationError, source: Path | None) -> str:
    """One line for the first thing that is wrong: where it was read, its name, what it should be, what it is."""
    problems = problem.errors(include_url=False)
    first, names = problems[0], _names(problems[0])
    same = [each for each in problems if _names(each) == names]
    others = len({".".join(_names(each)) for each in problems}) - 1
    variable = next(
        (
            name
            for length in range(len(names), 0, -1)
            if (name := (PREFIX + "__".join(names[:length])).upper()) in os.environ
        ),
        None,
    )
    setting = ".".join(names)
    where = f"environment {variable} ({setting})" if variable else f"{source or 'settings'}: {setting}"
    unknown = first["type"] == "extra_forbidden"
    said = dict.fromkeys(each["msg"].removeprefix("Value error, ") for each in same)
    message = "there is no such setting" if unknown else "; or: ".join(said)
    given = "" if unknown or isinstance(first["input"], dict | BaseModel) else f" (not {first['input']!r})"
    more = f"; and {others} more" if others else ""
    return f"{where}: {message}{given}{more}"


def _names(problem: ErrorDetails) -> list[str]:
    """The name of the setting, in parts. Of one that may be this or that, pydantic names each alternative as well."""
    names = [str(part) for part in problem["loc"]]
    alternative = names and ("[" in names[-1] or names[-1].startswith("constrained-"))
    return names[:-1] if alternative else names


def _credentials_in(path: Path, provider: Provider) -> dict[str, SecretStr]:
    """Raises ValueError without anything of what the file says, or OSError."""
    try:
        text = path.read_text("utf-8")
        if provider is Provider.GCS:
            json.loads(text)
            return {"service_account": SecretStr(text)}
        return {name: SecretStr(str(value)) for name, value in tomllib.loads(text).items()}
    except ValueError:
        form = "JSON of a service account" if provider is Provider.GCS else "TOML"
        raise ValueError(f"credentials_file: {path} is not {form}") from None


def _checked(check: Any, value: str) -> str:
    try:
        return str(check(value))
    except LivereelError as problem:
        raise ValueError(problem.detail) from None
