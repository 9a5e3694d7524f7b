"""What the API is built on, handed in by the composition root."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from livereel.api.auth.replay import Replays
from livereel.api.limits import RateLimits
from livereel.catalogue.port import Catalogue
from livereel.control.buckets import BucketService
from livereel.control.callbacks import CallbackService
from livereel.control.contents import ContentService
from livereel.control.domains import DomainService
from livereel.control.indexes import IndexService
from livereel.control.messages import MessageService
from livereel.control.notifications import NotificationService
from livereel.control.plans import PlanService
from livereel.control.pulls import PullService
from livereel.control.recording import Recording
from livereel.control.recordings import RecordingService
from livereel.control.snapshots import SnapshotService
from livereel.control.streams import StreamService
from livereel.control.templates import TemplateService
from livereel.control.url_guard import UrlGuardService
from livereel.domain.clock import Clock
from livereel.iam.service import Iam
from livereel.storage.port import Stores
from livereel.storage.urls import DownloadUrls

Network = IPv4Network | IPv6Network

DOWNLOAD_LIFETIME = 3600.0  # seconds a download link works unless settings say otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """Use cases and adapters. `readiness` gives what is checked and what is wrong with it (None: nothing).

    `metrics_allow`: from where metrics may be read.
    """

    iam: Iam
    recording: Recording
    recordings: RecordingService
    templates: TemplateService
    domains: DomainService
    notifications: NotificationService
    callbacks: CallbackService
    messages: MessageService
    contents: ContentService
    indexes: IndexService
    plans: PlanService
    buckets: BucketService
    snapshots: SnapshotService
    pulls: PullService
    streams: StreamService
    url_guard: UrlGuardService
    stores: Stores
    download_urls: DownloadUrls
    readiness: Callable[[], Awaitable[Mapping[str, str | None]]]
    clock: Clock
    catalogue: Catalogue
    replays: Replays
    hostname: str
    download_lifetime: float = DOWNLOAD_LIFETIME
    rate_limits: RateLimits | None = None
    metrics_allow: tuple[Network, ...] = ()
