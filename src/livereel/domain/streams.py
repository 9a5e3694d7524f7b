"""What is done to live streams besides recording: forbidding, snapshots, pulling. All times are Unix seconds.

Source: spec huawei-live-streams-domains.md sections 2.2, 5 and 6.
"""

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import StreamKey, check_app, check_domain, check_stream
from livereel.domain.messages import check_sign_key
from livereel.domain.naming import check_object_key
from livereel.domain.templates import PREFIX_MAX_LENGTH, ObsAddress
from livereel.domain.urls import WEB_SCHEMES, check_url

BLOCK_DEFAULT = 7 * 86_400.0  # seconds
BLOCK_MAX = 90 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class StreamBlock:
    """A stream that may not be pushed before `resume_at` (`stream/blocks`)."""

    domain: str
    app: str
    stream: str
    project_id: str
    resume_at: float
    created_at: float

    def __post_init__(self) -> None:
        StreamKey.parse(self.domain, self.app, self.stream)

    @property
    def key(self) -> StreamKey:
        """The stream."""
        return StreamKey(self.domain, self.app, self.stream)

    def in_force(self, now: float) -> bool:
        """True while pushes are refused."""
        return now < self.resume_at


def resume_time(given: float | None, now: float) -> float:
    """When a block made or changed `now` ends: as `given`, else the default; raises InvalidParameter."""
    if given is None:
        return now + BLOCK_DEFAULT
    if given <= now:
        raise InvalidParameter("resume_time must be in the future")
    if given > now + BLOCK_MAX:
        raise InvalidParameter("resume_time may be at most 90 days ahead")
    return given


class SnapshotMode(StrEnum):
    """Which pictures are taken."""

    KEYFRAME = "keyframe"
    NOKEYFRAME = "nokeyframe"
    RANDOM = "random"


class WriteMode(IntEnum):
    """Whether each snapshot gets an object of its own."""

    KEEP = 0
    OVERWRITE = 1


SNAPSHOT_INTERVAL_MIN, SNAPSHOT_INTERVAL_MAX = 5, 3600  # seconds
SNAPSHOT_VARIABLES = frozenset({"obs_object", "domain", "app", "stream"})
SNAPSHOT_TIME_VARIABLES = frozenset({"unix_time", "unix_time_milli", "fmt_time_utc", "fmt_time_local"})
DEFAULT_SNAPSHOT_FORMATS = {
    WriteMode.KEEP: "snapshot/{domain}/{app}/{stream}/{unix_time}.jpg",
    WriteMode.OVERWRITE: "snapshot/{domain}/{app}/{stream}.jpg",
}

_VARIABLE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class SnapshotConfig:
    """JPEG snapshots of all live streams of an app (`stream/snapshot`); one per (domain, app).

    `interval` is seconds. Empty `object_format`, `access_protocol` and `access_domain` mean the defaults. `auth_key`
    is plain text in the catalogue, for the reasons given at NotificationConfig.
    """

    domain: str
    app: str
    project_id: str
    interval: int
    write_mode: WriteMode
    address: ObsAddress
    auth_key: str = ""
    callback_on: bool = False
    callback_url: str = ""
    mode: SnapshotMode = SnapshotMode.KEYFRAME
    object_format: str = ""
    access_protocol: str = ""
    access_domain: str = ""

    def __post_init__(self) -> None:
        check_domain(self.domain)
        check_app(self.app)
        if not SNAPSHOT_INTERVAL_MIN <= self.interval <= SNAPSHOT_INTERVAL_MAX:
            raise InvalidParameter(
                f"time_interval must be {SNAPSHOT_INTERVAL_MIN} to {SNAPSHOT_INTERVAL_MAX} seconds, not {self.interval}"
            )
        check_sign_key("auth_key", self.auth_key)
        if self.callback_url:
            check_url("call_back_url", self.callback_url)
        elif self.callback_on:
            raise InvalidParameter("call_back_url is missing, and call_back_enable is on")
        if self.object_format:
            check_object_format(self.object_format, self.write_mode)
        if self.access_protocol not in ("", *WEB_SCHEMES):
            raise InvalidParameter(f"image_access_protocol must be http or https, not {self.access_protocol[:16]!r}")
        if self.access_domain:
            check_domain(self.access_domain)


def check_object_format(text: str, write_mode: WriteMode) -> str:
    """Return an `image_object_format` if it is usable; raises InvalidParameter."""
    if len(text) > PREFIX_MAX_LENGTH:
        raise InvalidParameter(f"image_object_format may have at most {PREFIX_MAX_LENGTH} characters, not {len(text)}")
    used = set(_VARIABLE.findall(text))
    known = SNAPSHOT_VARIABLES | SNAPSHOT_TIME_VARIABLES
    if unknown := sorted(used - known):
        raise InvalidParameter(
            f"image_object_format has an unknown variable {{{unknown[0]}}}; known are {', '.join(sorted(known))}"
        )
    if "{" in (rest := _VARIABLE.sub("", text)) or "}" in rest:
        raise InvalidParameter("a brace in image_object_format must belong to a variable such as {stream}")
    times = used & SNAPSHOT_TIME_VARIABLES
    if write_mode is WriteMode.KEEP and not times:
        names = ", ".join(sorted(SNAPSHOT_TIME_VARIABLES))
        raise InvalidParameter(f"image_object_format must name one of {names} when every snapshot is kept")
    if write_mode is WriteMode.OVERWRITE and times:
        raise InvalidParameter("image_object_format may not name a time when snapshots are overwritten")
    # {obs_object} may be a path that ends in "/", or nothing.
    check_object_key(_VARIABLE.sub("x", text).strip("/"))
    return text


class PullSource(StrEnum):
    """What a pull task reads."""

    LIVE = "PullLivePushLive"  #: one live source
    VOD = "PullVodPushLive"  #: files, one after the other


class PullState(StrEnum):
    """Where a pull task stands."""

    PENDING = "pending"  #: its start time has not come
    RUNNING = "running"  #: it pushes, or tries to
    PAUSED = "paused"
    ENDED = "ended"  #: its end time has come, or its files have been played
    FAILED = "failed"  #: it cannot go on; `error` says why


OPEN_PULL_STATES = frozenset({PullState.PENDING, PullState.RUNNING, PullState.PAUSED})


class PullEvent(StrEnum):
    """Events of pull tasks."""

    TASK_START = "TaskStart"
    TASK_EXIT = "TaskExit"
    VOD_SOURCE_FILE_START = "VodSourceFileStart"
    VOD_SOURCE_FILE_FINISH = "VodSourceFileFinish"
    RESET_TASK_CONFIG = "ResetTaskConfig"
    TASK_ALARM = "TaskAlarm"


class RefreshType(StrEnum):
    """When a changed list of files takes effect."""

    IMMEDIATE = "immediate_new_source"
    FROM_FILE_START = "continue_from_file_start"
    FROM_BREAK_POINT = "continue_from_break_point"


PULL_MAX_SPAN = 7 * 86_400.0  # seconds
PULL_URLS_MAX = 30  # ours: files of one loop
PULL_SCHEMES = {
    PullSource.LIVE: ("rtmp", "rtmps", "http", "https", "rtsp", "rtsps"),
    PullSource.VOD: ("http", "https"),
}
PUSH_SCHEMES = ("rtmp", "rtmps")
LOOP_FOREVER = -1
PUSH_ARGS_MAX_LENGTH = 1024  # characters; ours


@dataclass(frozen=True, slots=True)
class PullTask:
    """A source that is pulled and pushed into a stream of ours, or to `destination_url` (`pull/stream/task`).

    Either (`domain`, `app`, `stream`) or `destination_url` is set, the others are empty. `loop_time`, `refresh_type`,
    `start_index` and `start_time` (seconds into that file) are for files; a `loop_time` of -1 never ends.
    """

    id: str
    project_id: str
    source_type: PullSource
    source_urls: tuple[str, ...]
    region: str
    domain: str
    app: str
    stream: str
    start_at: float
    end_at: float
    created_at: float
    destination_url: str = ""
    push_args: str = ""
    callback_url: str = ""
    callback_events: tuple[PullEvent, ...] = tuple(PullEvent)
    loop_time: int = LOOP_FOREVER
    refresh_type: RefreshType = RefreshType.IMMEDIATE
    start_index: int = 0
    start_time: float = 0.0
    backup_source_type: PullSource | None = None
    backup_source_urls: tuple[str, ...] = ()
    state: PullState = PullState.PENDING
    error: str | None = None

    def __post_init__(self) -> None:
        _check_sources("source_urls", self.source_type, self.source_urls)
        if self.backup_source_type is not None:
            _check_sources("backup_source_urls", self.backup_source_type, self.backup_source_urls)
        elif self.backup_source_urls:
            raise InvalidParameter("backup_source_type is missing, and backup_source_urls is given")
        self._check_destination()
        if self.end_at <= self.start_at:
            raise InvalidParameter("end_time must be after start_time")
        if self.end_at - self.start_at > PULL_MAX_SPAN:
            raise InvalidParameter("end_time may be at most 7 days after start_time")
        if self.callback_url:
            check_url("callback_url", self.callback_url)
        if self.loop_time < LOOP_FOREVER:
            raise InvalidParameter(f"vod_loop_time must be -1 (endless) or a number of repeats, not {self.loop_time}")
        if not 0 <= self.start_index < len(self.source_urls):
            raise InvalidParameter(f"vod_start_video_index must be 0 to {len(self.source_urls) - 1}")
        if self.start_time < 0:
            raise InvalidParameter("vod_start_video_time may not be negative")

    @property
    def key(self) -> StreamKey | None:
        """The stream of ours that it pushes; None with a `destination_url`."""
        return None if self.destination_url else StreamKey(self.domain, self.app, self.stream)

    def _check_destination(self) -> None:
        if len(self.push_args) > PUSH_ARGS_MAX_LENGTH:
            raise InvalidParameter(f"push_args may have at most {PUSH_ARGS_MAX_LENGTH} characters")
        if not self.destination_url:
            check_domain(self.domain)
            check_app(self.app)
            check_stream(self.stream)
            return
        if self.domain or self.app or self.stream:
            raise InvalidParameter("give either domain, app_name and stream_name or destination_url, not both")
        check_url("destination_url", self.destination_url, schemes=PUSH_SCHEMES)


def _check_sources(member: str, source_type: PullSource, urls: tuple[str, ...]) -> None:
    if source_type is PullSource.LIVE and len(urls) != 1:
        raise InvalidParameter(f"{member} must hold exactly one URL for {source_type}, not {len(urls)}")
    if not 1 <= len(urls) <= PULL_URLS_MAX:
        raise InvalidParameter(f"{member} must hold 1 to {PULL_URLS_MAX} URLs, not {len(urls)}")
    for url in urls:
        check_url(member, url, schemes=PULL_SCHEMES[source_type])
