"""Which errors each operation may answer with. `huawei.errors` says what they look like on the wire."""

from collections.abc import Iterator

from livereel.api.huawei import errors as wire
from livereel.api.huawei.operations import Operation
from livereel.domain import errors

Refusal = type[errors.LivereelError]

#: Any request: what the outermost layer refuses, and what nobody foresaw.
ALWAYS: tuple[Refusal, ...] = (wire.UriTooLong, wire.HeadersTooLarge, errors.LivereelError)

#: A signed request; a name in a path that holds a slash or a NUL makes it another path.
SIGNED: tuple[Refusal, ...] = (
    errors.AuthenticationFailed,
    errors.InvalidParameter,
    wire.BodyTooLarge,
    wire.UnknownApi,
)

#: By operation, what the operation itself refuses. Not named: InvalidParameter and its kinds, which all answer alike.
OWN: dict[str, tuple[Refusal, ...]] = {
    "RunRecord": (
        errors.NoCommandTemplate,
        errors.NoKeyFrame,
        errors.NothingRecording,
        errors.StreamNotLive,
        errors.TaskExists,
        errors.DiskFull,
        errors.ShuttingDown,
    ),
    "CreateRecordRule": (errors.ResourceExists,),
    "ShowRecordRule": (errors.ResourceNotFound,),
    "UpdateRecordRule": (errors.ResourceNotFound, errors.ResourceExists),
    "DeleteRecordRule": (errors.ResourceNotFound,),
    "CreateRecordCallbackConfig": (errors.ResourceExists,),
    "ShowRecordCallbackConfig": (errors.ResourceNotFound,),
    "UpdateRecordCallbackConfig": (errors.ResourceNotFound, errors.ResourceExists),
    "DeleteRecordCallbackConfig": (errors.ResourceNotFound,),
    "CreateDomain": (errors.ResourceExists, errors.DomainLimitReached),
    "ShowDomain": (errors.ResourceNotFound,),
    "UpdateDomain": (errors.ResourceNotFound,),
    "DeleteDomain": (errors.ResourceNotFound, errors.DomainNotOff),
    "CreateDomainMapping": (errors.ResourceNotFound, errors.ResourceExists),
    "DeleteDomainMapping": (errors.ResourceNotFound,),
    "UpdateStreamForbidden": (errors.ResourceNotFound,),
    "DeleteStreamForbidden": (errors.UnknownDomain,),
    "CreateSnapshotConfig": (errors.ResourceExists,),
    "UpdateSnapshotConfig": (errors.ResourceNotFound,),
    "DeleteSnapshotConfig": (errors.ResourceNotFound,),
    "DeleteScheduleRecordTasks": (errors.ResourceNotFound,),
    "ModifyPullTask": (errors.ResourceNotFound,),
    "DeletePullTask": (errors.ResourceNotFound,),
    "CreateRecordConfig": (wire.ApiNotSupported,),
    "ListRecordConfigs": (wire.ApiNotSupported,),
    "DeleteRecordConfig": (wire.ApiNotSupported,),
    "ShowMessage": (errors.ResourceNotFound,),
    "ReplayMessage": (errors.ResourceNotFound,),
    "ShowRecording": (errors.ResourceNotFound,),
    "DeleteRecording": (errors.ResourceNotFound, errors.RecordingHeld, errors.RecordingNotOver),
    "HoldRecording": (errors.ResourceNotFound,),
    "ReleaseRecording": (errors.ResourceNotFound,),
}

#: Metrics, for those who may not read them.
METRICS: tuple[Refusal, ...] = (wire.UnknownApi,)
LOGIN: tuple[Refusal, ...] = (errors.AuthenticationFailed, errors.InvalidParameter, wire.BodyTooLarge)
DOWNLOAD: tuple[Refusal, ...] = (wire.LinkRefused, errors.ResourceNotFound)


def refusals(operation: Operation) -> Iterator[Refusal]:
    """Every error that an authenticated operation may answer with."""
    yield from ALWAYS
    yield from SIGNED
    if "{project_id}" in operation.path:
        yield errors.ProjectMismatch
        yield errors.RateLimited
    if operation.action is not None:
        yield errors.PermissionDenied
    if operation.method in {"POST", "PUT"}:
        yield wire.UnsupportedMediaType
    yield from OWN.get(operation.name, ())
