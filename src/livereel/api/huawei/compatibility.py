"""What a client of the cloud meets here, operation by operation: data, not behaviour.

docs/api/compatibility.md is written from it (docs/generate.py). The contract tests hold the server to `Note.statuses`,
and want a note for every operation.
"""

from enum import StrEnum
from typing import NamedTuple


class Support(StrEnum):
    """How much of an operation there is."""

    FULL = "full"  #: does what the documents say
    REFUSED = "refused"  #: answers the documented error and nothing else
    OURS = "ours"  #: an extension that no cloud has


class Note(NamedTuple):
    """One operation. `documented` is the success status that the documents give, "?" where none of them does."""

    documented: str
    statuses: tuple[int, ...]  # of success here, the usual one first
    differences: tuple[str, ...] = ()
    support: Support = Support.FULL


class Decision(NamedTuple):
    """Something that the documents leave open, or that changed between their editions, and what livereel does."""

    subject: str
    known: str
    decision: str


_LISTED = "Filters compare exactly: `*` finds templates whose own value is `*`."
_UNKNOWN_ID = "An unknown id is 404 `LIVE.100011001`, as in the samples of the record operations."

NOTES: dict[str, Note] = {
    "RunRecord": Note(
        "200",
        (200,),
        (
            "200 for START means that the first key frame is on disk, so START may take as long as the encoder's "
            "key-frame distance.",
            "The template of the moment counts, also for a stream that was pushed before it was made.",
            "`livereel` in the body asks for armed START or pre-roll.",
        ),
    ),
    "CreateRecordRule": Note(
        "201",
        (201,),
        (
            "`location` is kept and shown, and means nothing. Go and Java offer three values; any of them does.",
            "A bucket that is not there is made (`storage.create_buckets`).",
            "`plan_record_time` (2021) is ignored; plans are made with `schedule/record/tasks`.",
            "A second template for the same domain, app and stream is 400 `LIVE.103011018`.",
            "`record_prefix` has at most 800 characters.",
        ),
    ),
    "ListRecordRules": Note("200", (200,), ("Without `record_type` all types are listed.", _LISTED)),
    "ShowRecordRule": Note("200", (200,), (_UNKNOWN_ID,)),
    "UpdateRecordRule": Note(
        "200",
        (200,),
        ("`record_type` may be changed.", "Replaces the template: what is left out gets its default.", _UNKNOWN_ID),
    ),
    "DeleteRecordRule": Note("204", (204,), (_UNKNOWN_ID,)),
    "ListRecordContents": Note(
        "200",
        (200,),
        (
            "`start_time` and `end_time` select files by their start, newest first.",
            "`vod_info` is never there: no file goes to a VOD service.",
            "`download_url` is a link of this server that works for `api.download_lifetime`.",
            "Entries stay as long as the catalogue does, not 30 days.",
        ),
    ),
    "UpdatePublishTemplate": Note(
        "201 added, 200 changed",
        (201, 200),
        (
            "`call_back_area` is kept and means nothing.",
            "Replaces what was there: without `auth_sign_key` there is none.",
        ),
    ),
    "ListPublishTemplate": Note("200", (200,), ("Without a configuration `url` is empty.",)),
    "DeletePublishTemplate": Note("? (2xx)", (204,), ("Without a configuration it succeeds as well.",)),
    "CreateRecordCallbackConfig": Note(
        "201",
        (201,),
        (
            "One configuration per ingest domain; another is 400 `LIVE.103011018`.",
            "`RECORD_START` may be subscribed to, as in the console.",
            "`RECORD_FILE_VERIFIED` is an event of livereel's own, and `verification` a member.",
            "`key` has 32 to 128 characters of any kind.",
            "`on_demand_callback_url` (2021) is taken and shown.",
        ),
    ),
    "ListRecordCallbackConfigs": Note("200", (200,), ("`key` is never shown.",)),
    "ShowRecordCallbackConfig": Note("200", (200,), ("`key` is never shown.", _UNKNOWN_ID)),
    "UpdateRecordCallbackConfig": Note(
        "200",
        (200,),
        ("An update without `key` keeps the key, an empty one removes it.", _UNKNOWN_ID),
    ),
    "DeleteRecordCallbackConfig": Note(
        "204", (204,), ("Messages that wait for this configuration are given up.", _UNKNOWN_ID)
    ),
    "CreateDomain": Note(
        "201",
        (201,),
        (
            "The domain is `on` at once, never `configuring`. Names in DNS are the operator's business.",
            "64 domains per project; names are unique over all projects.",
            "`region` is any text; domains to be mapped must have the same.",
            "`service_area` and `enterprise_project_id` are kept and mean nothing.",
            "`status_describe` is never there.",
        ),
    ),
    "ShowDomain": Note("200", (200,), ("`vendor` is `livereel`, `is_ipv6` false; `domain_source` is never there.",)),
    "UpdateDomain": Note("200", (200,), ("`on` and `off` take effect for the next push.",)),
    "DeleteDomain": Note("204", (204,), ("An unknown domain is 400 `LIVE.103011019`, as clients know it.",)),
    "ListLiveStreamsOnline": Note(
        "200",
        (200,),
        (
            "A stream is listed at once, not after minutes.",
            "Codecs beyond H264, H265 and AAC have names of ours (`AV1`, `VP9` ...); they are empty until known.",
        ),
    ),
    "CreateStreamForbidden": Note(
        "204", (204,), ("A stream that is not pushed may be forbidden too; a second time replaces the end.",)
    ),
    "UpdateStreamForbidden": Note("204", (204,), ("A stream that is not forbidden is 404 `LIVE.103011019`.",)),
    "DeleteStreamForbidden": Note("204", (204,), ("An unknown domain is 403 `LIVE.100011001`, as clients know it.",)),
    "ListStreamForbidden": Note("200", (200,), ("`page` counts from 0.",)),
    "CreateStreamForbiddenOnce": Note("? (204 by analogy)", (204,), ("Without a push it succeeds as well.",)),
    "CreateDomainMapping": Note(
        "200", (200,), ("The mapping is shown as `related_domain`; livereel itself plays nothing.",)
    ),
    "DeleteDomainMapping": Note("200", (200,), ("An unknown mapping is 400 `LIVE.103011019`.",)),
    "ModifyDomainStreamBackup": Note("? (200)", (200,), ("Takes effect for the next push.",)),
    "ShowDomainStreamBackup": Note("200", (200,)),
    "ShowDomainKeyChain": Note("200", (200,), ("Without a key chain `key` is empty.",)),
    "UpdateDomainKeyChain": Note(
        "? (2xx)", (200,), ("For a streaming domain it only serves `auth/chain`: livereel itself plays nothing.",)
    ),
    "DeleteDomainKeyChain": Note("? (2xx)", (204,), ("Without a key chain it succeeds as well.",)),
    "CreateUrlAuthchain": Note(
        "? (200)", (200,), ("Three strings for type A and a streaming domain (RTMP, FLV, HLS paths), one otherwise.",)
    ),
    "CreateSnapshotConfig": Note(
        "200 or 201",
        (200,),
        (
            "`auth_sign` of the callback is HMAC-SHA-256 over `auth_timestamp`, `domain`, `app`, `stream_name` and "
            "`snapshot_url`; the documents have no formula.",
            "`width` and `height` in the callback are strings, as in the sample.",
            "`nokeyframe` and `random` take one of the frames after a key frame.",
        ),
    ),
    "UpdateSnapshotConfig": Note("200", (200,), ("An update without `auth_key` keeps the key.",)),
    "ListSnapshotConfigs": Note("200", (200,), ("`auth_key` is never shown.",)),
    "DeleteSnapshotConfig": Note("? (2xx)", (204,), ("An app without a configuration is 404 `LIVE.103011019`.",)),
    "CreateRecordIndex": Note(
        "200 or 201",
        (201,),
        (
            "Slices of a file that still grows are indexed too.",
            "`index_url` is a link of this server that works for `api.download_lifetime`.",
        ),
    ),
    "UpdateObsBucketAuthorityPublic": Note(
        "? (2xx)",
        (200,),
        (
            "Until the first authorisation a project may use every bucket; from then on only those on the list.",
            "A template that names another bucket is 400 `LIVE.100011001`; in the cloud its uploads fail.",
            "Users with the permission may call it, not only the account.",
        ),
    ),
    "CreateScheduleRecordTasks": Note("? (2xx)", (200,)),
    "ListScheduleRecordTasks": Note("? (200)", (200,), ("Without `start_time` the 7 days before `end_time`.",)),
    "DeleteScheduleRecordTasks": Note(
        "? (204)", (204,), ("An unknown `task_id` is 404 `LIVE.103011019`; one that is over succeeds.",)
    ),
    "CreateRecordConfig": Note("201 (until 2021)", (), ("400 `LIVE.100011006`.",), Support.REFUSED),
    "ListRecordConfigs": Note("200 (until 2021)", (), ("400 `LIVE.100011006`.",), Support.REFUSED),
    "DeleteRecordConfig": Note("204 (until 2021)", (), ("400 `LIVE.100011006`.",), Support.REFUSED),
    "CreatePullTask": Note(
        "? (2xx)",
        (200,),
        (
            "Callback bodies are livereel's own and not signed; the documents name the events only.",
            "Sources and targets with private addresses want `pulls.allow_private`.",
            "Without `end_time` a task ends after 7 days. `pulls.max_tasks` bounds the open ones.",
        ),
    ),
    "ModifyPullTask": Note("? (2xx)", (200,), ("A task that has ended may be enabled again before its `end_time`.",)),
    "ListPullTasks": Note(
        "? (200)",
        (200,),
        ("`status` is `pending`, `running`, `paused`, `ended`, `failed`; `error_message` is ours.",),
    ),
    "DeletePullTask": Note("? (2xx)", (200,), ("An unknown `task_id` is 404 `LIVE.103011019`.",)),
    "ListMessages": Note("-", (200,), (), Support.OURS),
    "ShowMessage": Note("-", (200,), (), Support.OURS),
    "ReplayMessage": Note("-", (200,), (), Support.OURS),
    "ShowRecording": Note("-", (200,), (), Support.OURS),
    "DeleteRecording": Note(
        "-",
        (204,),
        ("The cloud leaves objects to the owner of the bucket; so does livereel unless asked.",),
        Support.OURS,
    ),
    "ListUploads": Note("-", (200,), (), Support.OURS),
    "HoldRecording": Note("-", (204,), (), Support.OURS),
    "ReleaseRecording": Note("-", (204,), (), Support.OURS),
    "KeystoneListProjects": Note(
        "200",
        (200,),
        ("One region: the default project has the name of `region`, other projects names of their own.",),
    ),
}

#: What no document says.
OPEN_POINTS = (
    Decision(
        "Request and reply of the tenant's on-demand interface",
        "Its name, and that the recorder asks it when a stream is pushed.",
        "A contract of livereel's own: [on-demand.md](on-demand.md).",
    ),
    Decision(
        "Retry count, timeout, ordering and de-duplication of callbacks and notifications",
        "The receiver is to answer 200.",
        "Any 2xx within 10 s counts. Otherwise again with growing pauses for 24 h. In order per recording or stream, "
        "at least once, with a message id in a header: [notifications.md](notifications.md#delivery).",
    ),
    Decision(
        "Format of `{file_start_time}` and `{file_end_time}`, and which prefix variables there are",
        "Names of some variables; snapshots have `{fmt_time_utc}` as `YYYYMMDDhhmmss`.",
        "UTC `YYYYMMDDhhmmss`. In `record_prefix`: `publish_domain`, `app`, `stream`, `record_type`, `record_format`, "
        "`file_start_time`, `file_start_time_unix`; in `record_ts_prefix` also `file_end_time`, `file_end_time_unix`, "
        "`ts_sequence_number`. Others are refused. "
        "[Decision 5](../decisions/0005-names-in-the-store.md)",
    ),
    Decision(
        "Characters of stream names",
        "Free, but for Chinese characters; 1 to 512 of them.",
        "Letters, digits, `_` and `-`, behind the first of them also `. ~ @ + = ,`: names stand in paths, URLs and "
        "object keys as they are. Others are refused at the push and by the API (400 `LIVE.100011001`).",
    ),
    Decision(
        "Codes of record/control: stream not pushed, no COMMAND template, STOP without and START with a recording",
        "400 `LIVE.100011001`, 404 `LIVE.100011001`, 400 `LIVE.100011022` exist.",
        "404 `LIVE.100011001`, 400 `LIVE.100011001`, 404 `LIVE.100011001`, 400 `LIVE.100011022`. "
        "[Decision 4](../decisions/0004-answers-of-record-control.md)",
    ),
    Decision(
        "Delay from the end of a file to RECORD_FILE_COMPLETE; tags of playlists",
        "Nothing.",
        "The message is written when the store has confirmed the file. Playlists are RFC 8216 version 3: `EVENT` while "
        "a file grows, `VOD` with `ENDLIST` when it is complete, `PROGRAM-DATE-TIME` on every slice, `DISCONTINUITY` "
        "where timestamps do not go on.",
    ),
    Decision(
        "Success codes of record/indexes, obs/authority, schedule tasks, block-once and some deletes",
        "Some status from 200 to 299.",
        "201 for record/indexes, 200 for obs/authority and for creating and listing plans, 204 for block-once and for "
        "deletes; DELETE domains_mapping is the documented 200.",
    ),
    Decision(
        "Complete list of IAM actions",
        "A dozen names.",
        "Names of our own for the rest, marked unverified in [permissions.md](permissions.md).",
    ),
    Decision(
        "Error codes newer than 2021 after `LIVE.103011022`",
        "The table of 2021.",
        "None is made up: [errors.md](errors.md) uses documented codes only.",
    ),
    Decision(
        "Unit of the timestamp in `X-request-id`",
        "`request_id-timestamp-hostname`.",
        "Seconds.",
    ),
)

#: What the documents say differently in different years.
CHANGED_FACTS = (
    Decision("START after STOP", "No rule (2021), then 10 s.", "Less than 10 s is 400 `LIVE.100011022`."),
    Decision(
        "`record_cycle` 0",
        "The whole stream in one file (to 2023), then 6 h.",
        "6 h; `recorder.record_cycle_zero = whole` gives the older meaning.",
    ),
    Decision("Record types", "Four (2021 and SDKs), then two.", "All four."),
    Decision(
        "Planned recordings",
        "`plan_record_time` in the template (2021), then schedule/record/tasks.",
        "schedule/record/tasks.",
    ),
    Decision("`default_record_config`", "Optional (2021), then mandatory.", "Mandatory."),
    Decision("Length of a callback `key`", "Exactly 32, then at least 32.", "32 to 128."),
    Decision(
        "Callback message",
        "`play_url` and no `task_id` (2021), then the reverse; `auth_timestamp` as text, then as number.",
        "`task_id`, no `play_url`, a number.",
    ),
    Decision("Notification message", "Unsigned (2021), then signed when a key is set.", "Signed when a key is set."),
    Decision("`offset` of lists", "Page number (2021), then items.", "Items."),
    Decision("Credentials", "`X-Auth-Token` only (2021), then signatures too.", "Either."),
    Decision(
        "Limits of cycles",
        "60 to 43 200 s in the API; 15 to 720 min (HLS), 15 to 180 min (FLV, MP4) in the console.",
        "Those of the API.",
    ),
    Decision(
        "Upper bound of `record_max_duration_to_merge_file`",
        "None in the API, 300 s in the console and in Terraform.",
        "300 s; -1 for HLS.",
    ),
)

_NO_CLOUD_ACCOUNT = "There is no cloud account, no real-name check and no balance."
_NO_CHINESE_REGISTER = "There is no ICP register and no list of illegal sites."
_NO_CDN = "There is no CDN, GSLB or DNS to bring a domain to."
_ONE_GATEWAY = "There is no gateway of its own in front of the service."
_OTHER_CREDENTIALS = "Access keys and tokens are the only credentials."

#: Codes of the cloud's tables that livereel never answers, and why.
NEVER_ANSWERED: dict[str, str] = {
    "LIVE.100011000": "Parts do not talk to each other over a network; other failures are `LIVE.100011005`.",
    "LIVE.100011002": "Wrong credentials are found before the operation: `APIGW.0301`.",
    "LIVE.100011003": "Denied actions are `APIGW.0302`: [why](errors.md#choices).",
    "LIVE.100011004": "Plain HTTP is served, or HTTPS alone; then plain HTTP gets no HTTP answer.",
    "LIVE.100011007": "Requests wait for each other rather than fail; too many a minute are `APIGW.0308`.",
    "LIVE.100011008": "There is no maintenance mode.",
    "LIVE.100011009": "Credentials of a user that does not exist are wrong credentials: `APIGW.0301`.",
    "LIVE.100011011": "A wrong method is an unknown operation, as for the gateway: `APIGW.0101`.",
    "LIVE.100011013": _NO_CLOUD_ACCOUNT,
    "LIVE.100011014": _NO_CLOUD_ACCOUNT,
    "LIVE.103011016": "Wrong content is `LIVE.100011001`, which the samples of all operations show.",
    "LIVE.103011017": _NO_CDN,
    "LIVE.103011021": "The fault is the server's, and the documents give it 400: it is 500 `LIVE.100011005`.",
    "LIVE.103011023": _NO_CDN,
    "LIVE.103011024": _NO_CHINESE_REGISTER,
    "LIVE.103011025": _NO_CHINESE_REGISTER,
    "LIVE.103011026": _NO_CHINESE_REGISTER,
    "LIVE.103011027": _NO_CHINESE_REGISTER,
    "LIVE.103011028": _NO_CDN,
    "APIGW.0103": _ONE_GATEWAY,
    "APIGW.0106": _ONE_GATEWAY,
    "APIGW.0204": "A TLS version that is not supported ends the connection before there is HTTP.",
    "APIGW.0303": _OTHER_CREDENTIALS,
    "APIGW.0304": _OTHER_CREDENTIALS,
    "APIGW.0305": _OTHER_CREDENTIALS,
    "APIGW.0307": "A token that has expired is `APIGW.0301`.",
    "APIGW.0310": "Projects cannot be frozen.",
    "APIGW.0401": "There is no list of client addresses; use a firewall.",
    "APIGW.0402": "There is no list of client addresses; use a firewall.",
    "APIGW.0601": "Failures are `LIVE.100011005`.",
    "APIGW.0602": "What is no HTTP request is 400 `APIGW.0201`.",
    "APIGW.0607": "See `LIVE.100011004`.",
    "APIGW.0613": "IAM is a part of the server.",
    "APIGW.0802": "There are no regions.",
}
