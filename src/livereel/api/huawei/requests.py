"""What clients send: bodies and queries, checked as strictly as they are documented.

Bodies are strict about JSON types; members that are not known are ignored, since clients of different age send
different ones. An optional member may be absent or null. Ranges: spec huawei-live-recording.md sections 1, 2 and 4,
huawei-live-streams-domains.md sections 1.1 and 3.1.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from livereel.cluster.port import StartOptions
from livereel.control.contents import ContentFilter
from livereel.control.domains import NewDomain
from livereel.control.templates import NewTemplate
from livereel.domain.errors import InvalidParameter
from livereel.domain.keys import (
    APP_GRAMMAR,
    APP_MAX_LENGTH,
    DOMAIN_GRAMMAR,
    DOMAIN_MAX_LENGTH,
    STREAM_GRAMMAR,
    STREAM_MAX_LENGTH,
)
from livereel.domain.messages import AUTH_SIGN_KEY_MAX, AUTH_SIGN_KEY_MIN
from livereel.domain.recordings import ARMED_LIMIT_DEFAULT, ARMED_LIMIT_MAX, ARMED_LIMIT_MIN
from livereel.domain.retention import BYTES_MAX, MAX_AGE_MAX, MAX_AGE_MIN, RetentionRule
from livereel.domain.templates import (
    DEFAULT_TS_PREFIX,
    MERGE_FOREVER,
    MERGE_MAX,
    PRE_ROLL_MAX,
    PREFIX_MAX_LENGTH,
    RECORD_CYCLE_MAX,
    SLICE_DEFAULT,
    SLICE_MAX,
    SLICE_MIN,
    TEMPLATE_RECORD_TYPES,
    FormatConfig,
    ObsAddress,
    RecordFormat,
    RecordType,
    default_prefix,
)
from livereel.domain.tenancy import DomainType

_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # databases refuse some of these, logs all


def _printable(text: str) -> str:
    if _NOT_TEXT.search(text):
        raise ValueError("String should have no control characters or lone surrogates")
    return text


class Documented:
    """Members of a type's JSON schema that tell of checks which are made further in."""

    def __init__(self, **members: Any) -> None:
        self._members = members

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core) | self._members


def _of(grammar: re.Pattern[str], *, wildcard: bool = False) -> Documented:
    return Documented(pattern=f"^({grammar.pattern}{'|[*]' if wildcard else ''})$")


Text = Annotated[str, AfterValidator(_printable), Documented(pattern=r"^[^\x00-\x1f\x7f]*$")]
DomainName = Annotated[Text, Field(min_length=1, max_length=DOMAIN_MAX_LENGTH), _of(DOMAIN_GRAMMAR)]
AppName = Annotated[Text, Field(min_length=1, max_length=APP_MAX_LENGTH), _of(APP_GRAMMAR)]
StreamName = Annotated[Text, Field(min_length=1, max_length=STREAM_MAX_LENGTH), _of(STREAM_GRAMMAR)]
#: Names in templates, where "*" covers all.
AppNames = Annotated[AppName, _of(APP_GRAMMAR, wildcard=True)]
StreamNames = Annotated[StreamName, _of(STREAM_GRAMMAR, wildcard=True)]

OFFSET_MAX = 2**31 - 1  # of listings
LIMIT_MAX, LIMIT_DEFAULT = 100, 10
URL_MAX = 2048  # characters of a notification URL; ours
TEXT_MAX = 255  # characters of free text such as regions; ours

_DIGITS = re.compile(r"\d{1,10}")


def whole_number(text: object) -> object:
    """Text of a path or query as a number, for a validator; raises ValueError."""
    if isinstance(text, str):
        if not _DIGITS.fullmatch(text):
            raise ValueError("Input should be a whole number of decimal digits")
        return int(text)
    return text


def empty_is_absent(text: object) -> object:
    """An empty query member counts as none, for a validator."""
    return None if text == "" else text


def parse_time(text: str) -> float:
    """Unix seconds of an ISO date-time; UTC unless it says otherwise. Raises ValueError.

    The documents want `YYYY-MM-DDThh:mm:ssZ`; SDK date-times come without `Z` or with `+00:00`.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("Input should be a UTC time such as 2026-07-21T06:15:28Z") from None
    if "T" not in text:
        raise ValueError("Input should be a UTC time such as 2026-07-21T06:15:28Z, not a date")
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _time(text: str | None) -> str | None:
    if text is not None:
        parse_time(text)
    return text


Time = Annotated[str, AfterValidator(_time), Documented(format="date-time")]
Filter = Annotated[str | None, BeforeValidator(empty_is_absent)]
Offset = Annotated[int, BeforeValidator(whole_number), Field(ge=0, le=OFFSET_MAX)]
Limit = Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=LIMIT_MAX)]

AnyRecordType = Literal["CONTINUOUS_RECORD", "COMMAND_RECORD", "PLAN_RECORD", "ON_DEMAND_RECORD"]


class Body(BaseModel):
    """Base of all bodies: strict about JSON types, unknown members ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Query(BaseModel):
    """Base of all queries."""

    model_config = ConfigDict(extra="ignore")


# -- record/control


class ControlQuery(Query):
    action: Literal["START", "STOP"]


class StartExtension(Body):
    """Ours: START before the stream exists (`armed`, until STOP or `armed_limit` seconds), and in the past."""

    armed: bool | None = None
    armed_limit: Annotated[int, Field(ge=ARMED_LIMIT_MIN, le=ARMED_LIMIT_MAX)] = int(ARMED_LIMIT_DEFAULT)
    pre_roll: Annotated[int, Field(ge=0, le=PRE_ROLL_MAX)] | None = None


class ControlBody(Body):
    publish_domain: DomainName
    app: AppName
    stream: StreamName
    livereel: StartExtension | None = None

    def options(self) -> StartOptions:
        """What of our extensions is asked for."""
        if self.livereel is None:
            return StartOptions()
        asked = self.livereel
        pre_roll = None if asked.pre_roll is None else float(asked.pre_roll)
        return StartOptions(asked.armed, pre_roll, float(asked.armed_limit))


# -- record/rules


class ObsAddr(Body):
    bucket: Annotated[Text, Field(min_length=1, max_length=TEXT_MAX)]
    location: Annotated[Text, Field(min_length=1, max_length=TEXT_MAX)]
    object: Annotated[Text | None, Field(max_length=PREFIX_MAX_LENGTH)] = None


_WINDOW = Documented(minimum=MERGE_FOREVER, maximum=MERGE_MAX)


class FileConfig(Body):
    """`flv_config` and `mp4_config`."""

    record_cycle: Annotated[int, Documented(minimum=0, maximum=RECORD_CYCLE_MAX)]
    record_prefix: Annotated[Text | None, Field(max_length=PREFIX_MAX_LENGTH)] = None
    record_max_duration_to_merge_file: Annotated[int, _WINDOW] | None = None


class HlsConfig(FileConfig):
    record_ts_prefix: Annotated[Text | None, Field(max_length=PREFIX_MAX_LENGTH)] = None
    record_slice_duration: Annotated[int, Documented(minimum=SLICE_MIN, maximum=SLICE_MAX)] | None = None


class RecordConfig(Body):
    record_format: Annotated[list[Literal["HLS", "FLV", "MP4"]], Field(min_length=1)]
    obs_addr: ObsAddr
    hls_config: HlsConfig | None = None
    flv_config: FileConfig | None = None
    mp4_config: FileConfig | None = None


class RetentionMembers(Body):
    """Ours: what of the template's recordings may be deleted. Empty: nothing, whatever the server's own rule says."""

    max_age: Annotated[int, Field(ge=MAX_AGE_MIN, le=MAX_AGE_MAX)] | None = None
    max_size: Annotated[int, Field(ge=1, le=BYTES_MAX)] | None = None
    min_free: Annotated[int, Field(ge=1, le=BYTES_MAX)] | None = None

    def rule(self) -> RetentionRule:
        """As the domain has it."""
        return RetentionRule(None if self.max_age is None else float(self.max_age), self.max_size, self.min_free)


class RuleExtension(Body):
    """Ours: what START does without asking for it (COMMAND_RECORD only), and how long recordings are kept."""

    armed: bool = False
    pre_roll: Annotated[int, Field(ge=0, le=PRE_ROLL_MAX)] = 0
    retention: RetentionMembers | None = None


class RuleBody(Body):
    publish_domain: DomainName
    app: AppNames
    stream: StreamNames
    record_type: AnyRecordType | None = None
    default_record_config: RecordConfig
    livereel: RuleExtension | None = None

    def template(self) -> NewTemplate:
        """The template that this asks for; raises InvalidParameter."""
        config = self.default_record_config
        given: dict[str, FileConfig | None] = {
            "HLS": config.hls_config,
            "FLV": config.flv_config,
            "MP4": config.mp4_config,
        }
        formats = {RecordFormat(name): _format(RecordFormat(name), given[name]) for name in config.record_format}
        return NewTemplate(
            domain=self.publish_domain,
            app=self.app,
            stream=self.stream,
            record_type=_record_type(self.record_type),
            address=ObsAddress(config.obs_addr.bucket, config.obs_addr.location, config.obs_addr.object or ""),
            formats=formats,
            armed=self.livereel is not None and self.livereel.armed,
            pre_roll=float(self.livereel.pre_roll) if self.livereel is not None else 0.0,
            retention=self.livereel.retention.rule() if self.livereel and self.livereel.retention else None,
        )


class RuleListQuery(Query):
    publish_domain: Filter = None
    app: Filter = None
    stream: Filter = None
    record_type: Annotated[AnyRecordType | None, BeforeValidator(empty_is_absent)] = None
    offset: Offset = 0
    limit: Limit = LIMIT_DEFAULT


# -- record/contents


class ContentsQuery(Query):
    start_time: Time
    end_time: Annotated[Time | None, BeforeValidator(empty_is_absent)] = None
    publish_domain: Filter = None
    app: Filter = None
    stream: Filter = None
    record_type: Annotated[AnyRecordType | None, BeforeValidator(empty_is_absent)] = None
    offset: Offset = 0
    limit: Limit = LIMIT_DEFAULT

    def filter(self) -> ContentFilter | None:
        """What to list, None for a record type that nothing is recorded with. Raises InvalidParameter."""
        started_from = parse_time(self.start_time)
        started_to = parse_time(self.end_time) if self.end_time else None
        if started_to is not None and started_to <= started_from:
            raise InvalidParameter("end_time (query): must be after start_time")
        if self.record_type is not None and not is_recorded(self.record_type):
            return None
        return ContentFilter(
            started_from=started_from,
            started_to=started_to,
            domain=self.publish_domain,
            app=self.app,
            stream=self.stream,
            record_type=RecordType(self.record_type) if self.record_type else None,
        )


# -- notifications/publish


class DomainQuery(Query):
    domain: DomainName


_WEB_URL = r"^https?://[^\s/?#]+"


class NotificationBody(Body):
    url: Annotated[Text, Field(min_length=1, max_length=URL_MAX, pattern=_WEB_URL), Documented(pattern=_WEB_URL)]
    auth_sign_key: Annotated[Text | None, Field(min_length=AUTH_SIGN_KEY_MIN, max_length=AUTH_SIGN_KEY_MAX)] = None
    call_back_area: Literal["mainland_china", "outside_mainland_china"] | None = None


# -- domain


class NewDomainBody(Body):
    domain: DomainName
    domain_type: Literal["push", "pull"]
    region: Annotated[Text, Field(min_length=1, max_length=TEXT_MAX)]
    service_area: Literal["mainland_china", "outside_mainland_china", "global"] | None = None
    enterprise_project_id: Annotated[Text | None, Field(max_length=TEXT_MAX)] = None
    pull_protocol: Literal["flv_rtmp", "hls"] | None = None

    def new_domain(self) -> NewDomain:
        """The domain that this asks for."""
        pull = self.domain_type == "pull"
        return NewDomain(
            name=self.domain,
            type=DomainType(self.domain_type),
            region=self.region,
            service_area=self.service_area or "",
            enterprise_project_id=self.enterprise_project_id or "",
            pull_protocol=(self.pull_protocol or "flv_rtmp") if pull else "",
        )


class DomainListQuery(Query):
    domain: Filter = None
    enterprise_project_id: Filter = None


class DomainUpdateBody(Body):
    domain: DomainName
    status: Literal["on", "off"] | None = None
    enterprise_project_id: Annotated[Text | None, Field(max_length=TEXT_MAX)] = None


def is_recorded(record_type: str) -> bool:
    """True for the record types that templates may have."""
    return record_type in TEMPLATE_RECORD_TYPES


def _record_type(given: str | None) -> RecordType:
    if given is None:
        return RecordType.CONTINUOUS
    if not is_recorded(given):
        raise InvalidParameter(
            f"record_type (body): {given} is not supported; use {', '.join(sorted(TEMPLATE_RECORD_TYPES))}"
        )
    return RecordType(given)


def _format(record_format: RecordFormat, given: FileConfig | None) -> FormatConfig:
    """The configuration of one format, defaults filled in. A cycle of 0 is the documented default."""
    if given is None:
        return FormatConfig(record_cycle=0, record_prefix=default_prefix(record_format))
    hls = given if isinstance(given, HlsConfig) else None
    return FormatConfig(
        record_cycle=given.record_cycle,
        record_prefix=given.record_prefix or default_prefix(record_format),
        merge_window=given.record_max_duration_to_merge_file or 0,
        slice_duration=_or(hls.record_slice_duration if hls else None, SLICE_DEFAULT),
        ts_prefix=(hls.record_ts_prefix if hls else None) or DEFAULT_TS_PREFIX,
    )


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
