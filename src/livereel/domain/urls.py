"""The one check for URLs that tenants hand in: where we POST to, and where we pull from."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from livereel.domain.errors import InvalidParameter

URL_MAX_LENGTH = 2048  # characters; ours: what proxies and log lines commonly take
WEB_SCHEMES = ("http", "https")

_UNUSABLE = re.compile(r"[\s\x00-\x1f\x7f\\\ud800-\udfff]")


def check_url(member: str, url: str, *, schemes: Collection[str] = WEB_SCHEMES, query: bool = True) -> str:
    """Return `url` if it has one of `schemes` and a host, and (without `query`) no "?"; raises InvalidParameter.

    `member` is the name on the wire, for the message. Whether the host may be called is decided when it is called.
    """
    if not 1 <= len(url) <= URL_MAX_LENGTH:
        raise InvalidParameter(f"{member} must have 1 to {URL_MAX_LENGTH} characters, not {len(url)}")
    if _UNUSABLE.search(url):
        raise InvalidParameter(f"{member} may not contain blanks, control characters or backslashes")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidParameter(f"{member} is not a URL: {error}") from None
    if parts.scheme not in schemes or not host:
        raise InvalidParameter(
            f"{member} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and a host"
        )
    if not query and "?" in url:
        raise InvalidParameter(f"{member} may not have query parameters")
    return url
