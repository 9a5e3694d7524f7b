"""Where a publisher wants to push to, from the pieces that encoders spread over `connect` and `publish`."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

_DEFAULT_INSTANCE: Final = "_definst_"  # the name that Flash-era clients give to "no application instance"


@dataclass(frozen=True, slots=True)
class PublishTarget:
    """A push URL taken apart. Names are as the encoder sent them: unchecked, possibly empty.

    `host` is the host of the URL without port, in lower case; `vhost` is a `vhost=` of the query, or else the host;
    `query` is the raw query string. A path with more than two parts leaves its slashes in `stream`.
    """

    host: str
    vhost: str
    app: str
    stream: str
    query: str

    @classmethod
    def parse(cls, app: str, tc_url: str, name: str) -> "PublishTarget":
        """From `app` and `tcUrl` of connect and the name of publish.

        Each may hold a query, app may hold an instance, and either may hold parts that belong to the other: together
        they are one path, `app/stream`.
        """
        app_path, _, app_query = app.partition("?")
        name_path, _, name_query = name.partition("?")
        host, url_query = _host_and_query(tc_url)
        parts = [part for part in f"{app_path}/{name_path}".split("/") if part and part != _DEFAULT_INSTANCE]
        queries = list(dict.fromkeys(query for query in (app_query, url_query, name_query) if query))
        query = "&".join(queries)
        vhost = next((value for key, value in parse_qsl(query, separator="&") if key == "vhost"), "")
        return cls(host, vhost.lower() or host, parts[0] if parts else "", "/".join(parts[1:]), query)


def _host_and_query(tc_url: str) -> tuple[str, str]:
    rest, _, query = tc_url.partition("?")
    _, separator, rest = rest.partition("://")
    if not separator:
        return "", query
    authority = rest.partition("/")[0].rpartition("@")[2]
    host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    return host.lower(), query
