"""What the database holds. Nothing but tables and indexes; `repositories` turns rows into domain nouns.

Times are Unix seconds in doubles (UTC), as in the domain. Names are stored as given and compared byte by byte.
Foreign keys tie the parts of one thing together (user and its credentials, task and its files, message and its
deliveries); between things the ids are only names, so that deleting a template or a domain leaves history readable:
a task keeps the template that it began with.
A change here needs a migration: a test compares the two.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    }
)

# SQLite gives out row ids only for a column of the exact type INTEGER (which holds 64 bits there).
_BigId = BigInteger().with_variant(Integer, "sqlite")

projects = Table(
    "projects",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("project_id", String, nullable=False, index=True),
    Column("password_hash", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
)

access_keys = Table(
    "access_keys",
    metadata,
    Column("access", String, primary_key=True),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", String, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", String, nullable=False),
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

policies = Table(
    "policies",
    metadata,
    Column("id", String, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("effect", String, nullable=False),
    Column("actions", JSON, nullable=False),
)

domains = Table(
    "domains",
    metadata,
    Column("name", String, primary_key=True),
    Column("project_id", String, nullable=False, index=True),
    Column("type", String, nullable=False),
    Column("status", String, nullable=False),
    Column("region", String, nullable=False),
    Column("service_area", String, nullable=False),
    Column("enterprise_project_id", String, nullable=False),
    Column("pull_protocol", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("stream_backup", Boolean, nullable=False, server_default=false()),
)

domain_mappings = Table(
    "domain_mappings",
    metadata,
    Column("pull_domain", String, primary_key=True),
    Column("push_domain", String, nullable=False, index=True),
    Column("project_id", String, nullable=False, index=True),
)

key_chains = Table(
    "key_chains",
    metadata,
    Column("domain", String, primary_key=True),
    Column("key", String, nullable=False),
    Column("auth_type", String, nullable=False),
    Column("timeout", Integer, nullable=False),
)

bucket_grants = Table(
    "bucket_grants",
    metadata,
    Column("project_id", String, primary_key=True),
    Column("bucket", String, primary_key=True),
)

stream_blocks = Table(
    "stream_blocks",
    metadata,
    Column("domain", String, primary_key=True),
    Column("app", String, primary_key=True),
    Column("stream", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("resume_at", Double, nullable=False, index=True),
    Column("created_at", Double, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("domain", String, primary_key=True),
    Column("app", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("interval", Integer, nullable=False),
    Column("write_mode", Integer, nullable=False),
    Column("address", JSON, nullable=False),
    Column("auth_key", String, nullable=False),
    Column("callback_on", Boolean, nullable=False),
    Column("callback_url", Text, nullable=False),
    Column("mode", String, nullable=False),
    Column("object_format", String, nullable=False),
    Column("access_protocol", String, nullable=False),
    Column("access_domain", String, nullable=False),
)

pull_tasks = Table(
    "pull_tasks",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("source_type", String, nullable=False),
    Column("source_urls", JSON, nullable=False),
    Column("region", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("app", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("start_at", Double, nullable=False),
    Column("end_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("destination_url", Text, nullable=False),
    Column("push_args", Text, nullable=False),
    Column("callback_url", Text, nullable=False),
    Column("callback_events", JSON, nullable=False),
    Column("loop_time", Integer, nullable=False),
    Column("refresh_type", String, nullable=False),
    Column("start_index", Integer, nullable=False),
    Column("start_time", Double, nullable=False),
    Column("backup_source_type", String),
    Column("backup_source_urls", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("error", Text),
    Index("ix_pull_tasks_listing", "project_id", "created_at", "id"),
    Index("ix_pull_tasks_state", "state", "start_at"),
)

templates = Table(
    "templates",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("app", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("record_type", String, nullable=False),
    Column("address", JSON, nullable=False),
    Column("formats", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("armed", Boolean, nullable=False, server_default=false()),
    Column("pre_roll", Double, nullable=False, server_default=text("0")),
    Column("retention", JSON(none_as_null=True)),
    # Two templates of the same scope would leave open which of them decides over a stream.
    Index("uq_templates_scope", "domain", "app", "stream", unique=True),
    Index("ix_templates_listing", "project_id", "created_at", "id"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("domain", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("key", String, nullable=False),
    Column("call_back_area", String, nullable=False),
)

announced_pushes = Table(
    "announced_pushes",
    metadata,
    Column("domain", String, primary_key=True),
    Column("app", String, primary_key=True),
    Column("stream", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("node", String, nullable=False),
    Column("publish", JSON, nullable=False),  # an encoder's arguments may hold what text columns refuse
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("domain", String, nullable=False, unique=True),
    Column("app", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("events", JSON, nullable=False),
    Column("sign_type", String, nullable=False),
    Column("key", String, nullable=False),
    Column("on_demand_url", Text, nullable=False),
    Index("ix_callbacks_listing", "project_id", "created_at", "id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("app", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("record_type", String, nullable=False),
    Column("template", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("node", String, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("end_reason", String),
    Column("spool_end_segment", Integer),
    Column("spool_end_offset", BigInteger),
    Column("completed_at", Double),
    Column("error", Text),
    # The stream key while the task is active, else NULL: the database itself allows one active task per stream.
    Column("active_key", String, unique=True),
    Column("armed", Boolean, nullable=False, server_default=false()),
    Column("pre_roll", Double, nullable=False, server_default=text("0")),
    Column("deadline", Double),
    Column("plan_id", String),
    Column("template_id", String, nullable=False, server_default=text("''")),  # the id in `template`, for queries
    Index("ix_tasks_listing", "started_at", "id"),
    Index("ix_tasks_project_listing", "project_id", "started_at", "id"),
    Index("ix_tasks_node", "node", "state", "started_at"),
    Index("ix_tasks_stream_end", "domain", "app", "stream", "end_reason", "ended_at"),
)

files = Table(
    "files",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("asset_id", String, nullable=False),
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("app", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("record_type", String, nullable=False),
    Column("format", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("bucket", String, nullable=False),
    Column("location", String, nullable=False),
    Column("object_key", String, nullable=False),
    Column("start_segment", Integer, nullable=False),
    Column("start_offset", BigInteger, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("checkpoint", JSON, nullable=False),
    Column("ended_at", Double),
    Column("size", BigInteger),
    Column("duration", Double),
    Column("width", Integer),
    Column("height", Integer),
    Column("video_codec", String),
    Column("audio_codec", String),
    Column("sha256", String),
    Column("report", JSON, nullable=False),
    Column("error", Text),
    Column("deleted_at", Double),
    Column("delete_reason", String),
    Column("verification", String),
    Column("damages", JSON(none_as_null=True)),
    Column("verified_at", Double),
    Index("uq_files_object", "bucket", "object_key", unique=True),
    Index("ix_files_task", "task_id", "format", "sequence"),
    # Listing and counting read one of these two from end to end without touching the table: hence all filter columns.
    Index("ix_files_listing", "project_id", "started_at", "job_id", "state", "record_type", "domain", "app", "stream"),
    Index("ix_files_stream", "project_id", "domain", "app", "stream", "started_at", "job_id", "state", "record_type"),
    # Counting without a filter by name reads all entries of a project: short ones make that a third of the time.
    Index("ix_files_count", "project_id", "state", "started_at"),
    # The oldest files first, for retention.
    Index("ix_files_age", "state", "ended_at", "job_id"),
)

# Not a column of tasks: a task's row is written as a whole by whoever records it.
holds = Table(
    "holds",
    metadata,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("created_at", Double, nullable=False),
)

slices = Table(
    "slices",
    metadata,
    Column("job_id", ForeignKey("files.job_id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("object_key", String, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double, nullable=False),
    Column("duration", Double, nullable=False),
    Column("size", BigInteger, nullable=False),
)

plan_tasks = Table(
    "plan_tasks",
    metadata,
    Column("id", String, primary_key=True),
    Column("project_id", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("app", String, nullable=False),
    Column("stream", String, nullable=False),
    Column("start_at", Double, nullable=False),
    Column("end_at", Double, nullable=False),
    Column("template_id", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("stop_at", Double),
    Column("recording_task_id", String),
    Index("ix_plan_tasks_listing", "project_id", "start_at", "id"),
    Index(
        "ix_plan_tasks_open",
        "start_at",
        sqlite_where=text("stop_at IS NULL"),
        postgresql_where=text("stop_at IS NULL"),
    ),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _BigId, primary_key=True, autoincrement=True),
    Column("channel", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("event", String, nullable=False),
    Column("project_id", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("last_error", Text),
    Index(
        "ix_outbox_pending",
        "channel",
        "id",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_outbox_state", "state", "id"),
    Index("ix_outbox_project", "project_id", "id"),
    sqlite_autoincrement=True,  # an id that was given out never comes back: channels are ordered by it
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _BigId, primary_key=True, autoincrement=True),
    Column("message_id", ForeignKey("outbox.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("attempted_at", Double, nullable=False),
    Column("duration", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text),
)

seen_requests = Table(
    "seen_requests",
    metadata,
    Column("signature", String, primary_key=True),
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
)

# No foreign keys to tasks and files: what is left in a store has to be removed there even when those rows are gone.
uploads = Table(
    "uploads",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String, nullable=False, index=True),
    Column("task_id", String, nullable=False),
    Column("project_id", String, nullable=False),
    Column("node", String, nullable=False),
    Column("bucket", String, nullable=False),
    Column("object_key", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("upload_id", Text),
    Column("part_size", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("waiting_since", Double),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text),
    Column("next_retry_at", Double),
    Column("put_keys", JSON, nullable=False),
    Index("ix_uploads_listing", "project_id", "created_at", "id"),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("upload", ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("md5", String, nullable=False),
    Column("etag", String, nullable=False),
)
