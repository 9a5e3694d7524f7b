"""The one error tree that use cases raise; `api.huawei.errors` gives each its wire code.

An error says in `detail` what happened, where, and what to do. It carries no HTTP status: that is the API's business.
"""


class LivereelError(Exception):
    """Something went wrong that the caller can be told about."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidParameter(LivereelError):
    """A value is missing, has the wrong type or lies outside its documented range."""


class InvalidName(InvalidParameter):
    """A domain, app, stream, bucket or object name breaks the name grammar."""


class UnknownDomain(InvalidParameter):
    """The ingest domain does not exist in this project."""


class BucketNotAuthorised(InvalidParameter):
    """The project has a list of authorised buckets (`obs/authority`), and this one is not on it."""

    def __init__(self, bucket: str) -> None:
        super().__init__(
            f"bucket {bucket} is not authorised in this project; authorise it first (PUT obs/authority, operation 1)"
        )


class NoCommandTemplate(LivereelError):
    """START for a stream whose best matching template is not a COMMAND_RECORD template."""


class StreamNotLive(LivereelError):
    """START for a stream that nobody is pushing."""


class NoKeyFrame(LivereelError):
    """START for a live stream that sent no key frame in time."""


class TaskExists(LivereelError):
    """START while a task is recording the stream, or too soon after STOP."""


class NothingRecording(LivereelError):
    """STOP for a stream that no task is recording."""


class ResourceNotFound(LivereelError):
    """No such template, domain, file or other resource in this project."""


class RecordingHeld(LivereelError):
    """A recording that somebody holds is not deleted."""


class RecordingNotOver(LivereelError):
    """A recording whose files are not all stored yet is not deleted."""


class ResourceExists(LivereelError):
    """The resource exists already."""


class DomainLimitReached(LivereelError):
    """The project has as many ingest domains as it may have."""


class DomainNotOff(LivereelError):
    """The domain must be switched off before it is modified or deleted."""


class PublishRefused(LivereelError):
    """A push was refused; `detail` is what the encoder is told."""


class AuthenticationFailed(LivereelError):
    """Credentials are missing, wrong, expired or locked. `detail` follows the gateway's wording."""


class ProjectMismatch(LivereelError):
    """The project in the path is not the project of the credentials."""


class PermissionDenied(LivereelError):
    """An identity policy denies the action, or none allows it."""

    def __init__(self, detail: str, action: str) -> None:
        super().__init__(detail)
        self.action = action


class RateLimited(LivereelError):
    """Too many requests."""


class DiskFull(LivereelError):
    """The disk of spools and files under way has no room for a new recording."""


class ShuttingDown(LivereelError):
    """The server is stopping and takes no new work."""


class StoreError(LivereelError):
    """The store refused or failed; nothing was deleted locally."""


class SpoolError(LivereelError):
    """The spool cannot be written (disk full, I/O error)."""
