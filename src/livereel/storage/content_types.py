"""Media types of what is stored, by name and never from the platform's tables: they must not depend on the machine."""

from pathlib import PurePosixPath

DEFAULT = "application/octet-stream"
_BY_SUFFIX = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".ts": "video/mp2t",
    ".flv": "video/x-flv",
    ".mp4": "video/mp4",
    ".json": "application/json",
    ".jpg": "image/jpeg",
}


def content_type(key: str) -> str:
    """The Content-Type of an object."""
    return _BY_SUFFIX.get(PurePosixPath(key).suffix.lower(), DEFAULT)
