"""Recording templates (`record/rules`): fields, defaults, ranges and matching.

Source: spec huawei-live-recording.md section 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import WILDCARD, StreamKey, check_app, check_domain, check_stream
from livereel.domain.retention import RetentionRule


class RecordType(StrEnum):
    """When a template records."""

    CONTINUOUS = "CONTINUOUS_RECORD"  #: whenever a matching stream is pushed
    COMMAND = "COMMAND_RECORD"  #: only between START and STOP
    PLAN = "PLAN_RECORD"  #: whenever the stream is pushed within a planned interval
    ON_DEMAND = "ON_DEMAND_RECORD"  #: as the tenant's own service answers when the stream is pushed


#: Types that templates may be given; the others are refused at the door.
TEMPLATE_RECORD_TYPES = frozenset(RecordType)


class RecordFormat(StrEnum):
    """Container of a record file. Upper case in templates, lower case in record/contents."""

    HLS = "HLS"
    FLV = "FLV"
    MP4 = "MP4"


RECORD_CYCLE_MIN, RECORD_CYCLE_MAX = 60, 43_200  # seconds; 0 is allowed as well
RECORD_CYCLE_DEFAULT = 21_600  # what 0 means since 2024: 6 h (spec, contested facts)
SLICE_MIN, SLICE_MAX, SLICE_DEFAULT = 2, 60, 10  # seconds
MERGE_MAX = 300  # seconds; upper bound of console and Terraform provider
MERGE_FOREVER = -1  # HLS only: go on with the previous file within 30 days
MERGE_FOREVER_SECONDS = 30 * 86_400
PRE_ROLL_MAX = 60.0  # seconds; ours: what a ring of a few hundred streams can hold
PREFIX_MAX_LENGTH = 800  # ours: keeps object keys under the 1 024 bytes that S3 and OBS allow

_FILE_DIRECTORY = "Record/{publish_domain}/{app}/{record_type}/{record_format}/{stream}_{file_start_time}"
DEFAULT_HLS_PREFIX = _FILE_DIRECTORY + "/{stream}_{file_start_time}"
DEFAULT_FILE_PREFIX = _FILE_DIRECTORY + "/{file_start_time}"
DEFAULT_TS_PREFIX = "{file_start_time_unix}_{file_end_time_unix}_{ts_sequence_number}"


@dataclass(frozen=True, slots=True)
class ObsAddress:
    """Where files go: a configured store (`bucket`), its region (kept as given) and a key prefix."""

    bucket: str
    location: str
    object: str = ""


@dataclass(frozen=True, slots=True)
class FormatConfig:
    """How one format is written. `slice_duration` and `ts_prefix` matter for HLS only. Durations are seconds."""

    record_cycle: int
    record_prefix: str
    merge_window: int = 0
    slice_duration: int = SLICE_DEFAULT
    ts_prefix: str = DEFAULT_TS_PREFIX

    @property
    def merge_seconds(self) -> int:
        """Longest interruption, in seconds, that stays in the same file."""
        return MERGE_FOREVER_SECONDS if self.merge_window == MERGE_FOREVER else self.merge_window

    def __post_init__(self) -> None:
        if self.record_cycle and not RECORD_CYCLE_MIN <= self.record_cycle <= RECORD_CYCLE_MAX:
            raise InvalidParameter(
                f"record_cycle must be 0 or {RECORD_CYCLE_MIN} to {RECORD_CYCLE_MAX} seconds, not {self.record_cycle}"
            )
        if not SLICE_MIN <= self.slice_duration <= SLICE_MAX:
            raise InvalidParameter(
                f"record_slice_duration must be {SLICE_MIN} to {SLICE_MAX} seconds, not {self.slice_duration}"
            )
        if not MERGE_FOREVER <= self.merge_window <= MERGE_MAX:
            raise InvalidParameter(
                f"record_max_duration_to_merge_file must be -1 to {MERGE_MAX} seconds, not {self.merge_window}"
            )


@dataclass(frozen=True, slots=True)
class Template:
    """One recording template. Times are Unix seconds.

    `armed` and `pre_roll` are ours and off by default: START is accepted before the stream exists and holds across
    reconnects until STOP or a limit, and the recording begins up to `pre_roll` seconds before START. `retention` is
    ours, too; None: the server's own rule counts.
    """

    id: str
    project_id: str
    domain: str
    app: str
    stream: str
    record_type: RecordType
    address: ObsAddress
    formats: dict[RecordFormat, FormatConfig]
    created_at: float
    updated_at: float
    armed: bool = False
    pre_roll: float = 0.0
    retention: RetentionRule | None = None

    def __post_init__(self) -> None:
        check_domain(self.domain)
        check_app(self.app, wildcard=True)
        check_stream(self.stream, wildcard=True)
        if not 0 <= self.pre_roll <= PRE_ROLL_MAX:
            raise InvalidParameter(f"pre_roll must be 0 to {PRE_ROLL_MAX:.0f} seconds, not {self.pre_roll:g}")
        if (self.armed or self.pre_roll) and self.record_type is not RecordType.COMMAND:
            raise InvalidParameter(f"armed and pre_roll are for {RecordType.COMMAND} only")
        if not self.formats:
            raise InvalidParameter("record_format must name at least one of HLS, FLV, MP4")
        for record_format, config in self.formats.items():
            if config.merge_window == MERGE_FOREVER and record_format is not RecordFormat.HLS:
                raise InvalidParameter("record_max_duration_to_merge_file -1 is for HLS only")

    @property
    def merge_seconds(self) -> int:
        """Longest interruption, in seconds, that stays in the same recording: the longest of all formats."""
        return max(config.merge_seconds for config in self.formats.values())

    def matches(self, key: StreamKey) -> bool:
        """True if this template covers `key`."""
        return self.domain == key.domain and self.app in (key.app, WILDCARD) and self.stream in (key.stream, WILDCARD)


def default_prefix(record_format: RecordFormat) -> str:
    """The documented default of `record_prefix`."""
    return DEFAULT_HLS_PREFIX if record_format is RecordFormat.HLS else DEFAULT_FILE_PREFIX


def match(templates: Iterable[Template], key: StreamKey) -> Template | None:
    """The template that decides over `key`, or None.

    Exact beats "*", and an exact app weighs more than an exact stream (spec section 2.6; the order of the two middle
    cases is not documented). The winner's `record_type` then decides: an exact COMMAND template shields its stream
    from a wildcard CONTINUOUS one.
    """
    covering = [template for template in templates if template.matches(key)]
    return max(covering, key=lambda t: (t.app != WILDCARD, t.stream != WILDCARD), default=None)
