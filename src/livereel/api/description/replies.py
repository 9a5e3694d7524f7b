"""The JSON of successful answers, as JSON schemas. Objects hold the members that are named and no others."""

from typing import Any

from livereel.domain.messages import CallbackEvent, MessageState, SignType
from livereel.domain.recordings import DeleteReason, EndReason
from livereel.domain.states import FileState, TaskState
from livereel.domain.streams import PullEvent, PullSource, PullState, RefreshType, SnapshotMode
from livereel.domain.templates import RecordFormat, RecordType
from livereel.domain.tenancy import AuthType, DomainStatus, DomainType
from livereel.domain.uploads import UploadState

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
URI: Schema = {"type": "string", "format": "uri"}
TIME: Schema = {"type": "string", "format": "date-time", "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$"}
PRECISE_TIME: Schema = {"type": "string", "format": "date-time"}


def one_of(*values: str | int) -> Schema:
    """One of a few values."""
    return {"enum": list(values)}


def many(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def some(**members: Schema) -> Schema:
    """An object that leaves out members without a value."""
    return {"type": "object", "properties": members, "additionalProperties": False}


def object_of(optional: Schema | None = None, **members: Schema) -> Schema:
    """An object of `members`; those of `optional` (made by `some`) may be missing."""
    more = optional["properties"] if optional is not None else {}
    return some(**members, **more) | {"required": list(members)}


def page(name: str, item: Schema) -> Schema:
    """A listing: the total and a page of items."""
    return object_of(total=COUNT, **{name: many(item)})


_RECORD_TYPE = one_of(*(kind.value for kind in RecordType))
_ADDRESS = object_of(bucket=TEXT, location=TEXT, object=TEXT)
_FILE_CONFIG = {"record_cycle": COUNT, "record_prefix": TEXT, "record_max_duration_to_merge_file": {"type": "integer"}}
_RETENTION = some(max_age=COUNT, max_size=COUNT, min_free=COUNT)
_RULE = object_of(
    some(livereel=object_of(some(retention=_RETENTION), armed=FLAG, pre_roll=COUNT)),
    id=TEXT,
    publish_domain=TEXT,
    app=TEXT,
    stream=TEXT,
    record_type=_RECORD_TYPE,
    default_record_config=object_of(
        some(
            hls_config=object_of(**_FILE_CONFIG, record_ts_prefix=TEXT, record_slice_duration=COUNT),
            flv_config=object_of(**_FILE_CONFIG),
            mp4_config=object_of(**_FILE_CONFIG),
        ),
        record_format=many(one_of(*(name.value for name in RecordFormat))),
        obs_addr=_ADDRESS,
    ),
    create_time=TIME,
    update_time=TIME,
)
_CONTENT = object_of(
    some(end_time=TIME, duration=COUNT),
    publish_domain=TEXT,
    app=TEXT,
    stream=TEXT,
    file_name=TEXT,
    record_format=one_of(*(name.value.lower() for name in RecordFormat)),
    record_type=_RECORD_TYPE,
    obs_addr=_ADDRESS,
    download_url=URI,
    start_time=TIME,
)
_CALLBACK = object_of(
    some(on_demand_callback_url=TEXT),
    id=TEXT,
    publish_domain=TEXT,
    app=TEXT,
    notify_callback_url=TEXT,
    notify_event_subscription=many(one_of(*(event.value for event in CallbackEvent))),
    sign_type=one_of(*(kind.value for kind in SignType)),
    create_time=TIME,
    update_time=TIME,
)
_DOMAIN_REQUIRED = {
    "domain": TEXT,
    "domain_type": one_of(*(kind.value for kind in DomainType)),
    "domain_cname": TEXT,
    "region": TEXT,
    "status": one_of(*(status.value for status in DomainStatus)),
    "create_time": TIME,
}
_DOMAIN_OPTIONAL = some(service_area=TEXT, enterprise_project_id=TEXT, pull_protocol=TEXT)
_DOMAIN = object_of(_DOMAIN_OPTIONAL, **_DOMAIN_REQUIRED)
_STREAM = object_of(
    some(video_frame_rate=COUNT, audio_frame_rate=COUNT, video_bitrate=COUNT, audio_bitrate=COUNT, resolution=TEXT),
    publish_domain=TEXT,
    app=TEXT,
    stream=TEXT,
    video_codec=TEXT,
    audio_codec=TEXT,
    client_ip=TEXT,
    start_time=TIME,
)
_PLAN = object_of(
    task_id=TEXT,
    domain=TEXT,
    app=TEXT,
    stream=TEXT,
    start_time=COUNT,
    end_time=COUNT,
    template_id=TEXT,
    stop_time=COUNT,
)
_SNAPSHOTS = object_of(
    some(call_back_url=TEXT, image_object_format=TEXT, image_access_protocol=TEXT, image_access_domain=TEXT),
    domain=TEXT,
    app_name=TEXT,
    time_interval=COUNT,
    object_write_mode=one_of(0, 1),
    obs_location=_ADDRESS,
    call_back_enable=one_of("on", "off"),
    snapshot_mode=one_of(*(mode.value for mode in SnapshotMode)),
)
_PULL_TASK = object_of(
    some(
        vod_loop_time=TEXT,
        vod_start_video_index=COUNT,
        vod_start_video_time=COUNT,
        vod_refresh_type=one_of(*(kind.value for kind in RefreshType)),
        push_args=TEXT,
        destination_url=TEXT,
        callback_url=TEXT,
        backup_source_type=TEXT,
        backup_source_urls=many(TEXT),
        error_message=TEXT,
    ),
    task_id=TEXT,
    status=one_of(*(state.value for state in PullState)),
    create_time=TIME,
    region=TEXT,
    source_type=one_of(*(kind.value for kind in PullSource)),
    source_urls=many(TEXT),
    domain=TEXT,
    app_name=TEXT,
    stream_name=TEXT,
    start_time=TIME,
    end_time=TIME,
    callback_events=many(one_of(*(event.value for event in PullEvent))),
)
_PULL_TASK_NAMED = object_of(task_id=TEXT, request_id=TEXT)
_MESSAGE_REQUIRED: dict[str, Schema] = {
    "id": COUNT,
    "kind": TEXT,
    "event": TEXT,
    "domain": TEXT,
    "channel": TEXT,
    "url": TEXT,
    "state": one_of(*(state.value for state in MessageState)),
    "attempts": COUNT,
    "create_time": TIME,
    "body": {"type": "object"},
}
_MESSAGE_OPTIONAL = some(next_attempt_time=TIME, last_error=TEXT)
_MESSAGE = object_of(_MESSAGE_OPTIONAL, **_MESSAGE_REQUIRED)
_RECORDING_FILE = object_of(
    some(
        file_size=COUNT,
        end_time=TIME,
        error_message=TEXT,
        delete_time=TIME,
        delete_reason=one_of(*(reason.value for reason in DeleteReason)),
    ),
    job_id=TEXT,
    record_format=one_of(*(record_format.value for record_format in RecordFormat)),
    state=one_of(*(state.value for state in FileState)),
    obs_addr=_ADDRESS,
    start_time=TIME,
)
_RECORDING = object_of(
    some(
        end_time=TIME,
        end_reason=one_of(*(reason.value for reason in EndReason)),
        error_message=TEXT,
        held_since=TIME,
    ),
    task_id=TEXT,
    publish_domain=TEXT,
    app=TEXT,
    stream=TEXT,
    record_type=_RECORD_TYPE,
    state=one_of(*(state.value for state in TaskState)),
    start_time=TIME,
    held=FLAG,
    files=many(_RECORDING_FILE),
)
_BACKLOG = object_of(some(waiting_since=TIME, last_error=TEXT), bucket=TEXT, files=COUNT, bytes=COUNT)
_UPLOAD = object_of(
    some(waiting_since=TIME, last_error=TEXT, next_attempt_time=TIME),
    job_id=TEXT,
    task_id=TEXT,
    state=one_of(*(state.value for state in UploadState)),
    bucket=TEXT,
    object=TEXT,
    size=COUNT,
    sent=COUNT,
    attempts=COUNT,
    create_time=TIME,
    update_time=TIME,
)
_DELIVERY = object_of(
    time=TIME, duration={"type": "number"}, status={"type": ["integer", "null"]}, error={"type": ["string", "null"]}
)
_ACCOUNT = object_of(id=TEXT, name=TEXT)
_LINKS = object_of(self=TEXT, next={"type": ["string", "null"]}, previous={"type": ["string", "null"]})
_TOKEN = object_of(
    some(
        catalog={"type": "array"},
        domain=_ACCOUNT,
        project=object_of(id=TEXT, name=TEXT, domain=_ACCOUNT),
    ),
    expires_at=PRECISE_TIME,
    issued_at=PRECISE_TIME,
    methods=many(TEXT),
    roles=many(object_of(id=TEXT, name=TEXT)),
    user=object_of(id=TEXT, name=TEXT, password_expires_at=TEXT, domain=_ACCOUNT),
)
_BACKUP = object_of(publish_domain=TEXT, stream_backup_enable=FLAG)

#: By operation: the JSON of its answer, None for an empty one.
REPLIES: dict[str, Schema | None] = {
    "RunRecord": None,
    "CreateRecordRule": _RULE,
    "ListRecordRules": page("record_config", _RULE),
    "ShowRecordRule": _RULE,
    "UpdateRecordRule": _RULE,
    "DeleteRecordRule": None,
    "ListRecordContents": page("record_contents", _CONTENT),
    "UpdatePublishTemplate": None,
    "ListPublishTemplate": object_of(some(auth_sign_key=TEXT, call_back_area=TEXT), url=TEXT),
    "DeletePublishTemplate": None,
    "CreateDomain": _DOMAIN,
    "ShowDomain": page(
        "domain_info",
        object_of(_DOMAIN_OPTIONAL, **_DOMAIN_REQUIRED, vendor=TEXT, related_domain=TEXT, is_ipv6=FLAG),
    ),
    "UpdateDomain": _DOMAIN,
    "DeleteDomain": None,
    "CreateRecordCallbackConfig": _CALLBACK,
    "ListRecordCallbackConfigs": page("callback_config", _CALLBACK),
    "ShowRecordCallbackConfig": _CALLBACK,
    "UpdateRecordCallbackConfig": _CALLBACK,
    "DeleteRecordCallbackConfig": None,
    "ListMessages": page("messages", _MESSAGE),
    "ShowMessage": object_of(_MESSAGE_OPTIONAL, **_MESSAGE_REQUIRED, deliveries=many(_DELIVERY)),
    "ReplayMessage": _MESSAGE,
    "ListUploads": object_of(total=COUNT, backlog=many(_BACKLOG), uploads=many(_UPLOAD)),
    "ShowRecording": _RECORDING,
    "DeleteRecording": None,
    "HoldRecording": None,
    "ReleaseRecording": None,
    "ListLiveStreamsOnline": object_of(
        total_page=COUNT, total_num=COUNT, offset=COUNT, limit=COUNT, request_id=TEXT, streams=many(_STREAM)
    ),
    "CreateStreamForbidden": None,
    "UpdateStreamForbidden": None,
    "DeleteStreamForbidden": None,
    "ListStreamForbidden": page("blocks", object_of(app_name=TEXT, stream_name=TEXT, resume_time=TIME)),
    "CreateStreamForbiddenOnce": None,
    "CreateScheduleRecordTasks": object_of(task_id=TEXT),
    "ListScheduleRecordTasks": object_of(total=COUNT, offset=COUNT, limit=COUNT, tasks=many(_PLAN)),
    "DeleteScheduleRecordTasks": None,
    "CreateRecordIndex": object_of(
        index_url=URI,
        publish_domain=TEXT,
        app=TEXT,
        stream=TEXT,
        start_time=TIME,
        end_time=TIME,
        duration=COUNT,
        width=COUNT,
        height=COUNT,
        location=TEXT,
        bucket=TEXT,
        object=TEXT,
    ),
    "UpdateObsBucketAuthorityPublic": None,
    "CreateDomainMapping": object_of(pull_domain=TEXT, push_domain=TEXT),
    "DeleteDomainMapping": None,
    "ModifyDomainStreamBackup": _BACKUP,
    "ShowDomainStreamBackup": _BACKUP,
    "ShowDomainKeyChain": object_of(
        some(auth_type=one_of(*(kind.value for kind in AuthType)), timeout=COUNT), key=TEXT
    ),
    "UpdateDomainKeyChain": None,
    "DeleteDomainKeyChain": None,
    "CreateUrlAuthchain": object_of(keychain=many(TEXT)),
    "CreateSnapshotConfig": None,
    "UpdateSnapshotConfig": None,
    "ListSnapshotConfigs": object_of(total=COUNT, snapshot_config_list=many(_SNAPSHOTS), limit=COUNT, offset=COUNT),
    "DeleteSnapshotConfig": None,
    "CreatePullTask": _PULL_TASK_NAMED,
    "ModifyPullTask": _PULL_TASK_NAMED,
    "ListPullTasks": object_of(task_infos=many(_PULL_TASK), total=COUNT, request_id=TEXT),
    "DeletePullTask": _PULL_TASK_NAMED,
    "KeystoneCreateUserTokenByPassword": object_of(token=_TOKEN),
    "KeystoneListProjects": object_of(
        projects=many(
            object_of(
                id=TEXT,
                name=TEXT,
                domain_id=TEXT,
                parent_id=TEXT,
                is_domain=FLAG,
                enabled=FLAG,
                description=TEXT,
                links=_LINKS,
            )
        ),
        links=_LINKS,
    ),
    "Health": object_of(status=TEXT),
    "Readiness": object_of(
        status=TEXT, checks={"type": "object", "additionalProperties": {"type": ["string", "null"]}}
    ),
}

#: Successful statuses besides the one of the route.
MORE_STATUSES: dict[str, tuple[int, ...]] = {"UpdatePublishTemplate": (201,), "Readiness": (503,)}
