"""What clients get: domain nouns as the JSON that the API reference shows. Members without a value are left out."""

from datetime import UTC, datetime
from typing import Any

from livereel.domain.messages import NotificationConfig
from livereel.domain.recordings import RecordFile
from livereel.domain.retention import RetentionRule
from livereel.domain.templates import FormatConfig, RecordFormat, Template
from livereel.domain.tenancy import LiveDomain

_CONFIG_MEMBER = {RecordFormat.HLS: "hls_config", RecordFormat.FLV: "flv_config", RecordFormat.MP4: "mp4_config"}


def time_text(unix: float) -> str:
    """`YYYY-MM-DDThh:mm:ssZ`."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rule(template: Template) -> dict[str, Any]:
    """The rule object, with defaults filled in for selected formats and nothing said of others.

    Our extensions are named only in templates that use them.
    """
    extension: dict[str, Any] = {"armed": template.armed, "pre_roll": int(template.pre_roll)}
    if template.retention is not None:
        extension["retention"] = _retention(template.retention)
    used = template.armed or template.pre_roll or template.retention is not None
    return ({"livereel": extension} if used else {}) | {
        "id": template.id,
        "publish_domain": template.domain,
        "app": template.app,
        "stream": template.stream,
        "record_type": template.record_type.value,
        "default_record_config": {
            "record_format": [record_format.value for record_format in template.formats],
            "obs_addr": {
                "bucket": template.address.bucket,
                "location": template.address.location,
                "object": template.address.object,
            },
        }
        | {_CONFIG_MEMBER[name]: _format(name, config) for name, config in template.formats.items()},
        "create_time": time_text(template.created_at),
        "update_time": time_text(template.updated_at),
    }


def _retention(rule: RetentionRule) -> dict[str, int]:
    max_age = None if rule.max_age is None else int(rule.max_age)
    members = {"max_age": max_age, "max_size": rule.max_size, "min_free": rule.min_free}
    return {name: value for name, value in members.items() if value is not None}


def content(file: RecordFile, download_url: str) -> dict[str, Any]:
    """An item of record/contents. The format is in lower case here."""
    reply: dict[str, Any] = {
        "publish_domain": file.key.domain,
        "app": file.key.app,
        "stream": file.key.stream,
        "file_name": file.object_key.rpartition("/")[2],
        "record_format": file.format.value.lower(),
        "record_type": file.record_type.value,
        "obs_addr": {"bucket": file.bucket, "location": file.location, "object": file.object_key},
        "download_url": download_url,
        "start_time": time_text(file.started_at),
    }
    if file.ended_at is not None:
        reply["end_time"] = time_text(file.ended_at)
    if file.duration is not None:
        reply["duration"] = round(file.duration)
    return reply


def notification(config: NotificationConfig | None) -> dict[str, Any]:
    """The notification configuration; an empty `url` says that there is none."""
    if config is None:
        return {"url": ""}
    reply = {"url": config.url, "auth_sign_key": config.key, "call_back_area": config.call_back_area}
    return {name: value for name, value in reply.items() if value}


def domain(live: LiveDomain, cname: str) -> dict[str, Any]:
    """The domain object of create and update."""
    reply = {
        "domain": live.name,
        "domain_type": live.type.value,
        "domain_cname": cname,
        "region": live.region,
        "status": live.status.value,
        "create_time": time_text(live.created_at),
        "service_area": live.service_area,
        "enterprise_project_id": live.enterprise_project_id,
        "pull_protocol": live.pull_protocol,
    }
    return {name: value for name, value in reply.items() if value}


def domain_item(live: LiveDomain, cname: str, related: str) -> dict[str, Any]:
    """The domain object of a listing. `related` is the ingest domain that a streaming domain is mapped to, or empty."""
    return domain(live, cname) | {"vendor": "livereel", "related_domain": related, "is_ipv6": False}


def _format(record_format: RecordFormat, config: FormatConfig) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "record_cycle": config.record_cycle,
        "record_prefix": config.record_prefix,
        "record_max_duration_to_merge_file": config.merge_window,
    }
    if record_format is RecordFormat.HLS:
        reply["record_ts_prefix"] = config.ts_prefix
        reply["record_slice_duration"] = config.slice_duration
    return reply
