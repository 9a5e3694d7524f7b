"""Every authenticated operation: its method, path and the action that a policy must allow.

docs/api/permissions.md shows this table; a test compares the two, and another compares it with FastAPI's routes.
Action names of Live operations are those of "Actions Supported by Identity Policy-based Authorization" (2026-03-26)
where `verified`; the names of the other operations were not readable there and are ours.
"""

import re
from typing import NamedTuple


class Operation(NamedTuple):
    """One operation. `action` None: any authenticated user may call it."""

    name: str
    method: str
    path: str
    action: str | None
    verified: bool = True
    ours: bool = False  # an extension of livereel that no cloud has


OPERATIONS = (
    Operation("RunRecord", "POST", "/v1/{project_id}/record/control", "live:record:createCommand"),
    Operation("CreateRecordRule", "POST", "/v1/{project_id}/record/rules", "live:record:createRule"),
    Operation("ListRecordRules", "GET", "/v1/{project_id}/record/rules", "live:record:listRules"),
    Operation("ShowRecordRule", "GET", "/v1/{project_id}/record/rules/{id}", "live:record:getRule", verified=False),
    Operation("UpdateRecordRule", "PUT", "/v1/{project_id}/record/rules/{id}", "live:record:updateRule"),
    Operation(
        "DeleteRecordRule", "DELETE", "/v1/{project_id}/record/rules/{id}", "live:record:deleteRule", verified=False
    ),
    Operation(
        "ListRecordContents", "GET", "/v1/{project_id}/record/contents", "live:record:listContents", verified=False
    ),
    Operation(
        "UpdatePublishTemplate",
        "PUT",
        "/v1/{project_id}/notifications/publish",
        "live:domain:updateStreamNotification",
    ),
    Operation(
        "ListPublishTemplate", "GET", "/v1/{project_id}/notifications/publish", "live:domain:getStreamNotifications"
    ),
    Operation(
        "DeletePublishTemplate",
        "DELETE",
        "/v1/{project_id}/notifications/publish",
        "live:domain:deleteStreamNotification",
    ),
    Operation(
        "CreateRecordCallbackConfig",
        "POST",
        "/v1/{project_id}/record/callbacks",
        "live:record:createCallbackConfig",
        verified=False,
    ),
    Operation(
        "ListRecordCallbackConfigs",
        "GET",
        "/v1/{project_id}/record/callbacks",
        "live:record:listCallbackConfigs",
        verified=False,
    ),
    Operation(
        "ShowRecordCallbackConfig",
        "GET",
        "/v1/{project_id}/record/callbacks/{id}",
        "live:record:getCallbackConfig",
        verified=False,
    ),
    Operation(
        "UpdateRecordCallbackConfig",
        "PUT",
        "/v1/{project_id}/record/callbacks/{id}",
        "live:record:updateCallbackConfig",
        verified=False,
    ),
    Operation(
        "DeleteRecordCallbackConfig",
        "DELETE",
        "/v1/{project_id}/record/callbacks/{id}",
        "live:record:deleteCallbackConfig",
        verified=False,
    ),
    Operation("CreateDomain", "POST", "/v1/{project_id}/domain", "live:domain:createDomain"),
    Operation("ShowDomain", "GET", "/v1/{project_id}/domain", "live:domain:getDomains"),
    Operation("UpdateDomain", "PUT", "/v1/{project_id}/domain", "live:domain:updateDomain"),
    Operation("DeleteDomain", "DELETE", "/v1/{project_id}/domain", "live:domain:deleteDomain"),
    Operation(
        "ListLiveStreamsOnline", "GET", "/v1/{project_id}/realtime/streams", "live:stream:listOnline", verified=False
    ),
    Operation(
        "CreateStreamForbidden", "POST", "/v1/{project_id}/stream/blocks", "live:stream:createForbidden", verified=False
    ),
    Operation(
        "UpdateStreamForbidden", "PUT", "/v1/{project_id}/stream/blocks", "live:stream:updateForbidden", verified=False
    ),
    Operation(
        "DeleteStreamForbidden",
        "DELETE",
        "/v1/{project_id}/stream/blocks",
        "live:stream:deleteForbidden",
        verified=False,
    ),
    Operation(
        "ListStreamForbidden", "GET", "/v1/{project_id}/stream/blocks", "live:stream:listForbidden", verified=False
    ),
    Operation(
        "CreateStreamForbiddenOnce",
        "POST",
        "/v1/{project_id}/stream/block-once",
        "live:stream:createForbiddenOnce",
        verified=False,
    ),
    Operation("CreateDomainMapping", "PUT", "/v1/{project_id}/domains_mapping", "live:domain:createDomainsMapping"),
    Operation(
        "DeleteDomainMapping",
        "DELETE",
        "/v1/{project_id}/domains_mapping",
        "live:domain:deleteDomainsMapping",
        verified=False,
    ),
    Operation(
        "ModifyDomainStreamBackup",
        "PUT",
        "/v1/{project_id}/domain/stream-backup",
        "live:domain:updateStreamBackup",
        verified=False,
    ),
    Operation(
        "ShowDomainStreamBackup",
        "GET",
        "/v1/{project_id}/domain/stream-backup",
        "live:domain:getStreamBackup",
        verified=False,
    ),
    Operation(
        "ShowDomainKeyChain", "GET", "/v1/{project_id}/guard/key-chain", "live:domain:getKeyChain", verified=False
    ),
    Operation(
        "UpdateDomainKeyChain", "PUT", "/v1/{project_id}/guard/key-chain", "live:domain:updateKeyChain", verified=False
    ),
    Operation(
        "DeleteDomainKeyChain",
        "DELETE",
        "/v1/{project_id}/guard/key-chain",
        "live:domain:deleteKeyChain",
        verified=False,
    ),
    Operation(
        "CreateUrlAuthchain", "POST", "/v1/{project_id}/auth/chain", "live:domain:createAuthChain", verified=False
    ),
    Operation(
        "CreateSnapshotConfig",
        "POST",
        "/v1/{project_id}/stream/snapshot",
        "live:stream:createSnapshotConfig",
        verified=False,
    ),
    Operation(
        "UpdateSnapshotConfig",
        "PUT",
        "/v1/{project_id}/stream/snapshot",
        "live:stream:updateSnapshotConfig",
        verified=False,
    ),
    Operation(
        "ListSnapshotConfigs",
        "GET",
        "/v1/{project_id}/stream/snapshot",
        "live:stream:listSnapshotConfigs",
        verified=False,
    ),
    Operation(
        "DeleteSnapshotConfig",
        "DELETE",
        "/v1/{project_id}/stream/snapshot",
        "live:stream:deleteSnapshotConfig",
        verified=False,
    ),
    Operation("CreateRecordIndex", "POST", "/v1/{project_id}/record/indexes", None),
    Operation(
        "UpdateObsBucketAuthorityPublic",
        "PUT",
        "/v1/{project_id}/obs/authority",
        "live:record:updateBucketAuthority",
        verified=False,
    ),
    Operation(
        "CreateScheduleRecordTasks",
        "POST",
        "/v1/{project_id}/schedule/record/tasks",
        "live:record:createScheduleTasks",
        verified=False,
    ),
    Operation(
        "ListScheduleRecordTasks",
        "GET",
        "/v1/{project_id}/schedule/record/tasks",
        "live:record:listScheduleTasks",
        verified=False,
    ),
    Operation(
        "DeleteScheduleRecordTasks",
        "DELETE",
        "/v1/{project_id}/schedule/record/tasks",
        "live:record:deleteScheduleTasks",
        verified=False,
    ),
    Operation("CreateRecordConfig", "POST", "/v1/{project_id}/record/config", None),
    Operation("ListRecordConfigs", "GET", "/v1/{project_id}/record/config", None),
    Operation("DeleteRecordConfig", "DELETE", "/v1/{project_id}/record/config", None),
    Operation(
        "CreatePullTask", "POST", "/v1/{project_id}/pull/stream/task", "live:stream:createPullTask", verified=False
    ),
    Operation(
        "ModifyPullTask", "PUT", "/v1/{project_id}/pull/stream/task", "live:stream:updatePullTask", verified=False
    ),
    Operation("ListPullTasks", "GET", "/v1/{project_id}/pull/stream/task", "live:stream:listPullTasks", verified=False),
    Operation(
        "DeletePullTask", "DELETE", "/v1/{project_id}/pull/stream/task", "live:stream:deletePullTask", verified=False
    ),
    Operation("ListMessages", "GET", "/v1/{project_id}/livereel/messages", "live:livereel:listMessages", ours=True),
    Operation("ShowMessage", "GET", "/v1/{project_id}/livereel/messages/{id}", "live:livereel:getMessage", ours=True),
    Operation(
        "ReplayMessage",
        "POST",
        "/v1/{project_id}/livereel/messages/{id}/replay",
        "live:livereel:replayMessage",
        ours=True,
    ),
    Operation("ListUploads", "GET", "/v1/{project_id}/livereel/uploads", "live:livereel:listUploads", ours=True),
    Operation(
        "ShowRecording", "GET", "/v1/{project_id}/livereel/recordings/{id}", "live:livereel:getRecording", ours=True
    ),
    Operation(
        "DeleteRecording",
        "DELETE",
        "/v1/{project_id}/livereel/recordings/{id}",
        "live:livereel:deleteRecording",
        ours=True,
    ),
    Operation(
        "HoldRecording",
        "PUT",
        "/v1/{project_id}/livereel/recordings/{id}/hold",
        "live:livereel:holdRecording",
        ours=True,
    ),
    Operation(
        "ReleaseRecording",
        "DELETE",
        "/v1/{project_id}/livereel/recordings/{id}/hold",
        "live:livereel:releaseRecording",
        ours=True,
    ),
    Operation("KeystoneListProjects", "GET", "/v3/projects", None),
)


def find(method: str, path: str) -> tuple[Operation, str | None] | None:
    """The operation of a (decoded) path and the project in it; None if there is none."""
    for operation, pattern in _PATTERNS:
        if operation.method == method and (found := pattern.fullmatch(path)):
            return operation, found.groupdict().get("project_id")
    return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


_PATTERNS = tuple((operation, _pattern(operation.path)) for operation in OPERATIONS)
