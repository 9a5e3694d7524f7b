"""The names of the targets, for those who must not import the targets yet."""

NAMES = (
    "handshake",
    "chunks",
    "session",
    "payloads",
    "amf0",
    "amf3",
    "flv",
    "codecs",
    "script",
    "timeline",
    "publish_target",
    "names",
    "urls",
    "request_signature",
    "url_signature",
)
