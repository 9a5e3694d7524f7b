"""Stream keys and the one grammar for names.

Every name is checked at the door (RTMP publish, API request) and nowhere loosened later. Names become path and
object-key components, so the grammar leaves out separators, control characters, blanks, braces (template variables)
and a leading dot.
"""

import ipaddress
import re
from dataclasses import dataclass

from livereel.domain.errors import InvalidName

# Lengths: spec huawei-live-recording.md section 1 (publish_domain 1-255, app 1-128, stream 1-512).
DOMAIN_MAX_LENGTH = 255
APP_MAX_LENGTH = 128
STREAM_MAX_LENGTH = 512

# Lower case only, no wildcard: spec huawei-live-streams-domains.md section 3.1.
DOMAIN_GRAMMAR = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
# Letters, digits, "_" and "-": spec huawei-live-streams-domains.md section 4.4.
APP_GRAMMAR = re.compile(r"[A-Za-z0-9_-]+")
# "Free, no Chinese characters" in the spec; ours is printable ASCII that is safe in paths, URLs and object keys.
STREAM_GRAMMAR = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.~@+=,-]*")

WILDCARD = "*"


@dataclass(frozen=True, slots=True, order=True)
class StreamKey:
    """(domain, app, stream): what an encoder pushes to and what a task records."""

    domain: str
    app: str
    stream: str

    def __str__(self) -> str:
        return f"{self.domain}/{self.app}/{self.stream}"

    @classmethod
    def parse(cls, domain: str, app: str, stream: str) -> "StreamKey":
        """Check all three names; raises InvalidName."""
        return cls(check_domain(domain), check_app(app), check_stream(stream))

    @classmethod
    def from_text(cls, text: str) -> "StreamKey":
        """The inverse of `str(key)`; raises InvalidName."""
        parts = text.split("/")
        if len(parts) != 3:
            raise InvalidName(f"not a stream key (domain/app/stream): {text!r}")
        return cls.parse(*parts)


def check_domain(name: str) -> str:
    """Return `name` if it is a lower-case host name of 1-255 characters; raises InvalidName."""
    return _check("domain", name, DOMAIN_GRAMMAR, DOMAIN_MAX_LENGTH, "lower-case letters, digits, '-' and '.'")


def check_app(name: str, *, wildcard: bool = False) -> str:
    """Return `name` if it is an app name (or, with `wildcard`, "*"); raises InvalidName."""
    if wildcard and name == WILDCARD:
        return name
    return _check("app", name, APP_GRAMMAR, APP_MAX_LENGTH, "letters, digits, '_' and '-'")


def check_stream(name: str, *, wildcard: bool = False) -> str:
    """Return `name` if it is a stream name (or, with `wildcard`, "*"); raises InvalidName."""
    if wildcard and name == WILDCARD:
        return name
    allowed = "letters, digits and _ . ~ @ + = , - (not beginning with '.')"
    return _check("stream", name, STREAM_GRAMMAR, STREAM_MAX_LENGTH, allowed)


def is_address(host: str) -> bool:
    """True for an IP address or `localhost`: a host that names a machine, not an ingest domain."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _check(what: str, name: str, pattern: re.Pattern[str], longest: int, allowed: str) -> str:
    if not 1 <= len(name) <= longest:
        raise InvalidName(f"{what} must have 1 to {longest} characters, not {len(name)}")
    if not pattern.fullmatch(name):
        raise InvalidName(f"{what} {name[:64]!r} may hold only {allowed}")
    return name
