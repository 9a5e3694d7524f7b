"""What the rest of livereel asks of the catalogue: repositories inside one unit of work (one transaction).

Implementations live in `repositories` (SQLAlchemy). Every method takes and returns domain nouns, never rows. `get`
returns None for what is not there; `add` raises ResourceExists when a unique name or key is taken; `put` creates or
replaces and returns True if there was none before; `update` raises ResourceNotFound for what is not there; `delete`
returns False for it.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, NamedTuple, Protocol, TypeVar

from livereel.domain.errors import LivereelError
from livereel.domain.keys import StreamKey
from livereel.domain.messages import AnnouncedPush, CallbackConfig, Delivery, NotificationConfig, OutboxMessage
from livereel.domain.recordings import DeleteReason, PlanTask, RecordFile, Slice, Task
from livereel.domain.states import FileState
from livereel.domain.streams import PullTask, SnapshotConfig, StreamBlock
from livereel.domain.templates import RecordFormat, RecordType, Template
from livereel.domain.tenancy import (
    AccessKey,
    BucketGrant,
    DomainMapping,
    KeyChain,
    LiveDomain,
    Policy,
    Project,
    Token,
    User,
)
from livereel.domain.uploads import BucketBacklog, Upload, UploadPart
from livereel.domain.verification import Verdict

T = TypeVar("T")


class CatalogueError(LivereelError):
    """The database cannot be opened, reached or used; `detail` says what to do if anything can be done."""


class Page(NamedTuple, Generic[T]):
    """One page of a listing and how many items there are in all."""

    total: int
    items: list[T]


class Projects(Protocol):
    async def add(self, project: Project) -> None: ...
    async def get(self, project_id: str) -> Project | None: ...
    async def find(self, *, name: str | None = None) -> list[Project]: ...


class Users(Protocol):
    async def add(self, user: User) -> None: ...
    async def get(self, user_id: str) -> User | None: ...
    async def by_name(self, name: str) -> User | None: ...
    async def list(self, *, project_id: str | None = None) -> list[User]: ...
    async def update(self, user: User) -> None: ...


class AccessKeys(Protocol):
    async def add(self, key: AccessKey) -> None: ...
    async def get(self, access: str) -> AccessKey | None: ...
    async def list(self, *, user_id: str | None = None) -> list[AccessKey]: ...
    async def update(self, key: AccessKey) -> None: ...
    async def delete(self, access: str) -> bool: ...


class Tokens(Protocol):
    async def add(self, token: Token) -> None: ...
    async def get(self, digest: str) -> Token | None: ...
    async def delete_for_user(self, user_id: str) -> None: ...
    async def delete_expired(self, now: float) -> None: ...


class Policies(Protocol):
    async def add(self, policy: Policy) -> None: ...
    async def list(self, *, user_id: str) -> list[Policy]: ...
    async def delete(self, policy_id: str) -> bool: ...


class Domains(Protocol):
    async def add(self, domain: LiveDomain) -> None: ...
    async def get(self, name: str) -> LiveDomain | None: ...
    async def list(self, project_id: str) -> list[LiveDomain]: ...
    async def update(self, domain: LiveDomain) -> None: ...
    async def delete(self, name: str) -> bool:
        """Delete a domain with its templates, notifications, callbacks, mappings, key chain, blocks and snapshots.

        Whoever takes the name next, perhaps in another project, must not inherit them. What was recorded, plans and
        pull tasks stay.
        """
        ...


class DomainMappings(Protocol):
    async def add(self, mapping: DomainMapping) -> None:
        """Raises ResourceExists when the pull domain is mapped already."""
        ...

    async def delete(self, pull_domain: str, push_domain: str) -> bool: ...
    async def list(self, project_id: str) -> list[DomainMapping]:
        """By pull domain."""
        ...

    async def for_pull(self, pull_domain: str) -> DomainMapping | None: ...


class KeyChains(Protocol):
    async def get(self, domain: str) -> KeyChain | None: ...
    async def put(self, chain: KeyChain) -> bool: ...
    async def delete(self, domain: str) -> bool: ...


class BucketGrants(Protocol):
    async def put(self, grant: BucketGrant) -> bool: ...
    async def delete(self, grant: BucketGrant) -> bool: ...
    async def list(self, project_id: str) -> list[BucketGrant]:
        """By name."""
        ...


class Templates(Protocol):
    async def add(self, template: Template) -> None: ...
    async def get(self, project_id: str, template_id: str) -> Template | None: ...
    async def for_domain(self, domain: str) -> list[Template]: ...
    async def with_retention(self) -> list[Template]:
        """Templates of all projects that have a retention rule."""
        ...

    async def list(
        self,
        project_id: str,
        *,
        domain: str | None = None,
        app: str | None = None,
        stream: str | None = None,
        record_type: RecordType | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[Template]: ...
    async def update(self, template: Template) -> None: ...
    async def delete(self, project_id: str, template_id: str) -> bool: ...


class Notifications(Protocol):
    async def get(self, domain: str) -> NotificationConfig | None: ...
    async def put(self, config: NotificationConfig) -> bool: ...
    async def delete(self, domain: str) -> bool: ...


class Callbacks(Protocol):
    async def add(self, config: CallbackConfig) -> None:
        """Raises ResourceExists when the domain has a configuration."""
        ...

    async def get(self, project_id: str, config_id: str) -> CallbackConfig | None: ...
    async def by_domain(self, domain: str) -> CallbackConfig | None: ...
    async def list(
        self, project_id: str, *, domain: str | None = None, app: str | None = None, offset: int = 0, limit: int = 10
    ) -> Page[CallbackConfig]:
        """Oldest first; filters compare exactly."""
        ...

    async def update(self, config: CallbackConfig) -> None:
        """Raises ResourceExists when the domain has another configuration."""
        ...

    async def delete(self, project_id: str, config_id: str) -> bool: ...


class Holds(Protocol):
    async def put(self, task_id: str, now: float) -> bool: ...
    async def delete(self, task_id: str) -> bool: ...
    async def held_since(self, task_id: str) -> float | None: ...


class Tasks(Protocol):
    async def add(self, task: Task) -> None:
        """Raises ResourceExists when another task in an active state holds the same stream key."""
        ...

    async def get(self, task_id: str) -> Task | None: ...
    async def update(self, task: Task) -> None: ...
    async def active(self, key: StreamKey) -> Task | None:
        """The task in an active state for this stream."""
        ...

    async def last_stopped_at(self, key: StreamKey) -> float | None:
        """When the latest task of this stream that ended by STOP was stopped."""
        ...

    async def open(self, *, node: str) -> list[Task]:
        """Tasks of this node with work left (OPEN_TASK_STATES), oldest first."""
        ...

    async def interrupted(self, *, node: str) -> list[Task]:
        """Tasks of this node whose merge window is open, oldest first."""
        ...

    async def armed(self, key: StreamKey) -> Task | None:
        """The task in an active state for this stream, if an armed START began it."""
        ...

    async def to_delete(self) -> list[str]:
        """Ids of tasks that are being deleted, or of which files are, the longest waiting first."""
        ...

    async def list(self, *, project_id: str | None = None, offset: int = 0, limit: int = 100) -> Page[Task]:
        """Newest first."""
        ...


class StoredSize(NamedTuple):
    """How much of a template's recordings is in a bucket, bytes; `deleting` of it will be gone soon."""

    template_id: str
    bucket: str
    stored: int
    deleting: int


class Files(Protocol):
    async def add(self, file: RecordFile) -> None:
        """Raises ResourceExists when bucket + object_key is taken."""
        ...

    async def get(self, job_id: str) -> RecordFile | None: ...
    async def update(self, file: RecordFile) -> None: ...
    async def set_verdict(self, job_id: str, verdict: Verdict, now: float) -> bool:
        """Write down what reading a stored file again gave, and its SHA-256 if that is part of it; nothing else.

        False if there is no such stored file.
        """
        ...

    async def of_task(self, task_id: str) -> list[RecordFile]:
        """Ordered by format, sequence."""
        ...

    async def by_key(self, bucket: str, object_key: str) -> RecordFile | None: ...
    async def playlists_beside(self, file: RecordFile, *, ended_after: float | None = None) -> list[RecordFile]:
        """Other HLS files whose playlists are in the same directory, those deleted left out.

        With `ended_after` those alone that ended after that Unix time, or have not ended.
        """
        ...

    async def deletable(
        self,
        *,
        templates: Sequence[str] | None = None,
        other_than: Sequence[str] = (),
        ended_before: float | None = None,
        buckets: Sequence[str] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> list[RecordFile]:
        """Stored files of tasks that are over and not held, begun by `templates` or by `other_than` these.

        By their end, oldest first.
        """
        ...

    async def stored_sizes(self) -> list[StoredSize]:
        """Bytes of stored files and of those being deleted, by template and bucket."""
        ...

    async def mark_deleting(self, job_id: str, reason: DeleteReason, now: float) -> bool:
        """Begin to delete a file; False if `deletable` would not name it any more."""
        ...

    async def of_stream_in_window(
        self, project_id: str, key: StreamKey, start: float, end: float, *, record_format: RecordFormat | None = None
    ) -> list[RecordFile]:
        """Files that hold a part of [`start`, `end`), those still being written among them, oldest first."""
        ...

    async def list(
        self,
        project_id: str,
        *,
        started_from: float | None = None,
        started_to: float | None = None,
        domain: str | None = None,
        app: str | None = None,
        stream: str | None = None,
        record_type: RecordType | None = None,
        state: FileState | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[RecordFile]:
        """Newest first; `started_from` <= started_at < `started_to`."""
        ...


class Slices(Protocol):
    async def add_many(self, slices: Sequence[Slice]) -> None:
        """Store slices of record files that are stored already; a slice that was made again replaces the old one."""
        ...

    async def in_window(self, project_id: str, key: StreamKey, start: float, end: float) -> list[Slice]:
        """Slices of the stream that hold a part of [`start`, `end`), in the order of their time."""
        ...

    async def of_file(self, job_id: str) -> list[Slice]:
        """In their order."""
        ...

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        """Forget the slices of these files."""
        ...

    async def files_ended(self, before: float, *, limit: int) -> list[str]:
        """Files that ended before then and have slices still, `limit` at most."""
        ...


class Uploads(Protocol):
    async def put(self, upload: Upload) -> bool: ...
    async def delete(self, upload_id: str) -> bool:
        """By `Upload.id`, with its parts."""
        ...

    async def of_job(self, job_id: str) -> list[Upload]:
        """Of one record file, in every state and bucket, oldest first."""
        ...

    async def of_node(self, node: str) -> list[Upload]:
        """All that a node has to do, oldest first."""
        ...

    async def backlog(self, *, project_id: str | None = None) -> Sequence[BucketBacklog]:
        """By bucket, without what is being discarded."""
        ...

    async def put_part(self, upload_id: str, part: UploadPart) -> None: ...
    async def parts(self, upload_id: str) -> list[UploadPart]:
        """By number."""
        ...

    async def delete_parts(self, upload_id: str, numbers: Sequence[int]) -> None: ...

    async def list(
        self, *, project_id: str | None = None, bucket: str | None = None, offset: int = 0, limit: int = 100
    ) -> Page[Upload]:
        """Oldest first."""
        ...


class PlanTasks(Protocol):
    async def add(self, plan: PlanTask) -> None: ...
    async def get(self, project_id: str, plan_id: str) -> PlanTask | None: ...
    async def update(self, plan: PlanTask) -> None: ...
    async def in_force(self, now: float, *, key: StreamKey | None = None) -> list[PlanTask]:
        """Plans whose interval `now` lies in and that nobody stopped, by start."""
        ...

    async def delete_over(self, before: float, *, limit: int) -> int:
        """Delete plans that ended before then, `limit` at most; returns how many."""
        ...

    async def open(self) -> list[PlanTask]:
        """All plans without `stop_at`, by start: those to come, those in force, those that are over since."""
        ...

    async def list(
        self,
        project_id: str,
        *,
        start: float | None = None,
        end: float | None = None,
        domain: str | None = None,
        app: str | None = None,
        stream: str | None = None,
        plan_id: str | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[PlanTask]:
        """Plans that lie wholly within [`start`, `end`], by start."""
        ...


class AnnouncedPushes(Protocol):
    async def put(self, push: AnnouncedPush) -> bool: ...
    async def get(self, key: StreamKey) -> AnnouncedPush | None: ...
    async def delete(self, key: StreamKey) -> bool: ...
    async def list(self, *, node: str) -> list[AnnouncedPush]: ...


class StreamBlocks(Protocol):
    async def put(self, block: StreamBlock) -> bool: ...
    async def get(self, key: StreamKey) -> StreamBlock | None:
        """Also one that is over; ask `in_force`."""
        ...

    async def delete(self, key: StreamKey) -> bool: ...
    async def delete_expired(self, now: float) -> None: ...
    async def list(
        self,
        project_id: str,
        *,
        domain: str,
        app: str | None = None,
        stream: str | None = None,
        now: float | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[StreamBlock]:
        """By app and stream; with `now` only those in force."""
        ...


class Snapshots(Protocol):
    async def put(self, config: SnapshotConfig) -> bool: ...
    async def get(self, domain: str, app: str) -> SnapshotConfig | None: ...
    async def delete(self, domain: str, app: str) -> bool: ...
    async def list(
        self, project_id: str, *, domain: str | None = None, app: str | None = None, offset: int = 0, limit: int = 10
    ) -> Page[SnapshotConfig]:
        """By domain and app."""
        ...


class PullTasks(Protocol):
    async def add(self, task: PullTask) -> None: ...
    async def get(self, project_id: str, task_id: str) -> PullTask | None: ...
    async def update(self, task: PullTask) -> None: ...
    async def delete(self, project_id: str, task_id: str) -> bool: ...
    async def open(self) -> list[PullTask]:
        """Tasks of all projects in OPEN_PULL_STATES, by start."""
        ...

    async def list(
        self,
        project_id: str,
        *,
        region: str | None = None,
        task_id: str | None = None,
        offset: int = 0,
        limit: int = 10,
    ) -> Page[PullTask]:
        """Oldest first."""
        ...


class Outbox(Protocol):
    async def add(self, message: OutboxMessage) -> int:
        """Append a message (its `id` is ignored); returns the id given."""
        ...

    async def due(
        self,
        now: float,
        *,
        limit: int,
        after: int = 0,
        ids: Collection[int] = (),
        sources: Collection[tuple[str, str]] = (),
    ) -> list[OutboxMessage]:
        """The first pending message of each channel that is due, oldest first.

        Only those with an id above `after`, without those in `ids` and those whose kind and domain are in `sources`.
        Due is also what would have to wait for longer than messages ever do: the clock was set back since.
        """
        ...

    async def next_due_at(self, after: float = 0.0) -> float | None:
        """When the first of these messages is due that is not due at `after`."""
        ...

    async def head(self, channel: str) -> OutboxMessage | None:
        """The first pending message of a channel."""
        ...

    async def get(self, message_id: int) -> OutboxMessage | None: ...
    async def pending(self) -> int:
        """How many messages wait for delivery."""
        ...

    async def delete_settled(self, before: float, *, limit: int) -> int:
        """Delete delivered and dead messages created before `before`, `limit` at most, with their delivery log.

        Returns how many there were.
        """
        ...

    async def update(self, message: OutboxMessage) -> None:
        """Write down where a message stands; what it says and to whom never changes."""
        ...

    async def log(self, delivery: Delivery) -> None: ...
    async def deliveries(self, message_id: int) -> list[Delivery]: ...
    async def list(
        self,
        *,
        project_id: str | None = None,
        domain: str | None = None,
        kind: str | None = None,
        event: str | None = None,
        state: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[OutboxMessage]:
        """Newest first."""
        ...

    async def replay(self, message_id: int, now: float) -> OutboxMessage | None:
        """Make a message pending and due again, for another whole retry time; None if it is not there.

        It keeps its id, so it goes before the newer ones of its channel. Its delivery log goes on.
        """
        ...


class SeenRequest(NamedTuple):
    """The first answer to a signed mutation, kept while its signature is valid."""

    signature: str
    status: int
    headers: dict[str, str]
    body: bytes
    expires_at: float


class SeenRequests(Protocol):
    async def get(self, signature: str) -> SeenRequest | None: ...
    async def add(self, seen: SeenRequest) -> None: ...
    async def delete_expired(self, now: float) -> None: ...


class UnitOfWork(Protocol):
    """One transaction. Leaving the context commits; an exception rolls back."""

    projects: Projects
    users: Users
    access_keys: AccessKeys
    tokens: Tokens
    policies: Policies
    domains: Domains
    domain_mappings: DomainMappings
    key_chains: KeyChains
    bucket_grants: BucketGrants
    templates: Templates
    notifications: Notifications
    announced_pushes: AnnouncedPushes
    callbacks: Callbacks
    tasks: Tasks
    holds: Holds
    files: Files
    slices: Slices
    uploads: Uploads
    plan_tasks: PlanTasks
    stream_blocks: StreamBlocks
    snapshots: Snapshots
    pull_tasks: PullTasks
    outbox: Outbox
    seen_requests: SeenRequests


class Catalogue(Protocol):
    """The database."""

    def read(self, *, latest: bool = True) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work that only reads.

        Where `latest` is False it does not wait for the disk to have what others wrote without waiting for it, and may
        not see that yet: for rows that nobody writes so.
        """
        ...

    def write(self, *, durable: bool = True, patient: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work that writes; on SQLite it takes the write lock at once (BEGIN IMMEDIATE).

        Where `durable` is False it ends without waiting for the disk: a crash may undo it, but never while it keeps a
        later unit of work of this process. A `patient` one waits a moment for others to share its commit: for what
        happens often and nobody waits for.
        """
        ...

    async def close(self) -> None: ...
