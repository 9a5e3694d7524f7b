"""What the composition root may choose about ingest."""

from dataclasses import dataclass

from livereel.rtmp.session import TIMEOUTS, Timeouts


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """Limits and rhythm of ingest; docs/decisions/0003-batched-reading.md holds the measurements behind the rhythm."""

    #: Open connections at most; more are closed at once.
    max_connections: int = 2000
    #: Seconds between two passes over all publishing sockets. Latency of the spool, and what CPU time is bought with.
    sweep_interval: float = 0.5
    #: A publishing socket that holds this many bytes is read before its pass comes; so are one that was closed or
    #: reset and one whose window is nearly full. 0: never before its pass.
    low_water: int = 256 * 1024
    #: Receive window asked for once publishing, in bytes: what a publisher may send while we do not read. The kernel
    #: gives it memory only as it fills.
    window: int = 1024 * 1024
    #: Seconds a pass may hold the event loop before it lets others run.
    slice_seconds: float = 0.002
    #: How long peers may take, in seconds.
    timeouts: Timeouts = TIMEOUTS
    #: Seconds that one read may hold the event loop. Usual reads take a tenth of it; after one that took longer,
    #: because of tiny messages or chunks, the connection is read in smaller pieces.
    read_seconds: float = 0.004
