"""Object keys: prefix variables, extensions, containment and collision.

Source: spec huawei-live-recording.md sections 2.2 and 2.3, for snapshots huawei-live-streams-domains.md section 5.
`{file_start_time}` is UTC `YYYYMMDDhhmmss` (the spec leaves the format open; this one sorts and equals the snapshot
API's `{fmt_time_utc}`).
"""

import hashlib
import re
from datetime import UTC, datetime

from livereel.domain.errors import InvalidName
from livereel.domain.keys import StreamKey
from livereel.domain.templates import RecordFormat, RecordType

OBJECT_KEY_MAX_BYTES = 1024  # limit of S3 and OBS
# Of a part between slashes that we make. File systems take 255; what is left is for `without_collision`. So the key in
# a callback is the path on a disk, and a playlist finds its slices there.
COMPONENT_MAX_BYTES = 180

PREFIX_VARIABLES = frozenset(
    {"publish_domain", "app", "stream", "record_type", "record_format", "file_start_time", "file_start_time_unix"}
)
TS_PREFIX_VARIABLES = PREFIX_VARIABLES | {"file_end_time", "file_end_time_unix", "ts_sequence_number"}

INDEX_VARIABLES = frozenset(
    {"publish_domain", "app", "stream", "start_time", "end_time", "start_time_unix", "end_time_unix"}
)
DEFAULT_INDEX_OBJECT = "Index/{publish_domain}/{app}/{stream}/{stream}-{start_time}-{end_time}"  # spec section 5

_VARIABLE = re.compile(r"\{([^{}]*)\}")
# Lone surrogates come out of JSON and have no encoding.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")

EXTENSIONS = {RecordFormat.HLS: ".m3u8", RecordFormat.FLV: ".flv", RecordFormat.MP4: ".mp4"}


def check_prefix(prefix: str, *, slice_name: bool = False) -> str:
    """Return a `record_prefix` (or, with `slice_name`, a `record_ts_prefix`) if it is usable; raises InvalidName."""
    _check_variables(prefix, TS_PREFIX_VARIABLES if slice_name else PREFIX_VARIABLES)
    if not prefix or prefix.endswith("/"):
        raise InvalidName("a prefix must end in a file name")
    if slice_name and "/" in prefix:
        raise InvalidName("record_ts_prefix is a file name beside the playlist and may not contain '/'")
    check_object_key(_VARIABLE.sub("x", prefix))
    return prefix


def check_object_key(key: str) -> str:
    """Return `key` if it is a relative path without empty, `.` or `..` components; raises InvalidName."""
    if _FORBIDDEN.search(key):
        raise InvalidName("an object key may not contain control characters, backslashes or half characters")
    if not key or len(key.encode()) > OBJECT_KEY_MAX_BYTES:
        raise InvalidName(f"an object key must have 1 to {OBJECT_KEY_MAX_BYTES} bytes")
    if any(part in {"", ".", ".."} for part in key.split("/")):
        raise InvalidName(f"an object key may not contain empty, '.' or '..' components: {key[:128]!r}")
    return key


def format_time(unix: float) -> str:
    """`YYYYMMDDhhmmss` in UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y%m%d%H%M%S")


def file_key(
    key: StreamKey,
    record_type: RecordType,
    record_format: RecordFormat,
    *,
    object_root: str,
    prefix: str,
    started_at: float,
) -> str:
    """The object key of a record file: `object_root` + expanded `record_prefix` + extension."""
    expanded = _expand(prefix, _variables(key, record_type, record_format, started_at))
    *directories, name = expanded.split("/")
    parts = [*map(_fitted, directories), _fitted(name) + EXTENSIONS[record_format]]
    return check_object_key(join_root(object_root, "/".join(parts)))


def snapshot_key(key: StreamKey, *, object_format: str, object_root: str, taken_at: float) -> str:
    """The object key of a snapshot: `image_object_format` expanded; ".jpg" is added where the format lacks it.

    `object_root` (`obs_location.object`) stands where `{obs_object}` does; empty components, which an empty root or
    one that ends in "/" makes, are dropped. `{fmt_time_local}` is the server's own time zone.
    """
    local = datetime.fromtimestamp(taken_at, UTC).astimezone()
    expanded = _expand(
        object_format,
        {
            "obs_object": object_root,
            "domain": key.domain,
            "app": key.app,
            "stream": key.stream,
            "unix_time": str(int(taken_at)),
            "unix_time_milli": str(int(taken_at * 1000)),
            "fmt_time_utc": format_time(taken_at),
            "fmt_time_local": local.strftime("%Y%m%d%H%M%S"),
        },
    )
    components = [part for part in expanded.split("/") if part]
    if not components:
        raise InvalidName("image_object_format gives an empty object key")
    *directories, name = components
    parts = [*map(_fitted, directories), _fitted(name.removesuffix(".jpg")) + ".jpg"]
    return check_object_key("/".join(parts))


def slice_name(
    key: StreamKey, record_type: RecordType, *, prefix: str, started_at: float, ended_at: float, sequence: int
) -> str:
    """The file name of a TS slice beside its playlist. `sequence` counts from 0."""
    variables = _variables(key, record_type, RecordFormat.HLS, started_at) | {
        "file_end_time": format_time(ended_at),
        "file_end_time_unix": str(int(ended_at)),
        "ts_sequence_number": str(sequence),
    }
    return _fitted(_expand(prefix, variables)) + ".ts"


def without_collision(object_key: str, job_id: str) -> str:
    """Another key for a file whose key is taken: HLS gets a directory of its own (its slices too), others a suffix."""
    directory, _, name = object_key.rpartition("/")
    base, _, extension = name.rpartition(".")
    tag = job_id.replace("-", "")[:8]
    unique = f"{base}-{tag}/{name}" if extension == "m3u8" else f"{base}-{tag}.{extension}"
    return check_object_key(f"{directory}/{unique}" if directory else unique)


def index_key(key: StreamKey, target: str, *, started_at: float, ended_at: float) -> str:
    """The object key of a `record/indexes` playlist: `target` expanded, with `.m3u8` at its end; raises InvalidName."""
    _check_variables(target, INDEX_VARIABLES)
    check_object_key(_VARIABLE.sub("x", target))
    variables = {
        "publish_domain": key.domain,
        "app": key.app,
        "stream": key.stream,
        "start_time": format_time(started_at),
        "end_time": format_time(ended_at),
        "start_time_unix": str(int(started_at)),
        "end_time_unix": str(int(ended_at)),
    }
    extension = EXTENSIONS[RecordFormat.HLS]
    *directories, name = _expand(target, variables).removesuffix(extension).split("/")
    if not name:
        raise InvalidName("object must end in a file name")
    return check_object_key("/".join([*map(_fitted, directories), _fitted(name) + extension]))


def relative_key(object_key: str, directory: str) -> str:
    """How to get from `directory` (of a bucket, empty for its root) to an object in it: `../../x.ts`."""
    path, start = object_key.split("/"), directory.split("/") if directory else []
    common = 0
    while common < min(len(path) - 1, len(start)) and path[common] == start[common]:
        common += 1
    return "/".join([".."] * (len(start) - common) + path[common:])


def join_root(root: str, rest: str) -> str:
    """`obs_addr.object` + key; the root may or may not end in '/'; leading slashes of either are dropped."""
    root = root.strip("/")
    return f"{root}/{rest.lstrip('/')}" if root else rest.lstrip("/")


def _check_variables(text: str, known: frozenset[str]) -> None:
    unknown = sorted(set(_VARIABLE.findall(text)) - known)
    if unknown:
        raise InvalidName(f"unknown variable {{{unknown[0]}}}; known are {', '.join(sorted(known))}")
    if "{" in (rest := _VARIABLE.sub("", text)) or "}" in rest:
        raise InvalidName("a brace in a prefix must belong to a variable such as {stream}")


def _fitted(component: str) -> str:
    """`component`, or if a long name made it too long its beginning and a hash of all of it."""
    data = component.encode()
    if len(data) <= COMPONENT_MAX_BYTES:
        return component
    digest = hashlib.sha256(data).hexdigest()[:16]
    return f"{data[: COMPONENT_MAX_BYTES - len(digest) - 1].decode(errors='ignore')}~{digest}"


def _variables(
    key: StreamKey, record_type: RecordType, record_format: RecordFormat, started_at: float
) -> dict[str, str]:
    return {
        "publish_domain": key.domain,
        "app": key.app,
        "stream": key.stream,
        "record_type": record_type.value,
        "record_format": record_format.value,
        "file_start_time": format_time(started_at),
        "file_start_time_unix": str(int(started_at)),
    }


def _expand(prefix: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables[found.group(1)], prefix)
