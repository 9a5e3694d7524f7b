"""All targets by name; the name is also that of a directory of the corpus."""

from collections.abc import Callable
from typing import Final

from tests.fuzz import targets_media, targets_names, targets_rtmp

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "handshake": targets_rtmp.handshake,
    "chunks": targets_rtmp.chunks,
    "session": targets_rtmp.session,
    "payloads": targets_rtmp.payloads,
    "amf0": targets_media.amf_0,
    "amf3": targets_media.amf_3,
    "flv": targets_media.flv_file,
    "codecs": targets_media.codecs,
    "script": targets_media.script,
    "timeline": targets_media.timeline,
    "publish_target": targets_names.publish_target,
    "names": targets_names.names,
    "urls": targets_names.urls,
    "request_signature": targets_names.request_signature,
    "url_signature": targets_names.url_signature,
}
