"""Every metric of the server, in one place; docs/operate/metrics.md lists them and a test compares.

Count once per batch, never per packet.
"""

from prometheus_client import Counter, Gauge, Histogram

publishes = Counter("livereel_publishes", "Push sessions by outcome", ["outcome"])
connections = Gauge("livereel_rtmp_connections", "Open RTMP connections")
live_streams = Gauge("livereel_live_streams", "Streams being pushed")
ingest_bytes = Counter("livereel_ingest_bytes", "Bytes read from publishing sockets")
ingest_tags = Counter("livereel_ingest_tags", "Tags received")
protocol_errors = Counter("livereel_rtmp_protocol_errors", "RTMP connections ended for bad input")
sweep_seconds = Histogram(
    "livereel_ingest_sweep_seconds",
    "Time the pump held the loop in one slice",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
spool_bytes = Counter("livereel_spool_bytes", "Bytes written to spools")
spool_backlog_bytes = Gauge("livereel_spool_backlog_bytes", "Bytes waiting for the spool writer")
spool_errors = Counter("livereel_spool_errors", "Spools that the disk refused to write or to sync")
spool_fsync_seconds = Histogram(
    "livereel_spool_fsync_seconds",
    "Time it took to bring what was written of one spool to the disk",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
spool_unsynced_bytes = Gauge("livereel_spool_unsynced_bytes", "Bytes in spools that may not be on disk yet")
spool_unsynced_seconds = Gauge("livereel_spool_unsynced_seconds", "Age of the oldest byte that may not be on disk yet")
tasks = Counter("livereel_tasks", "Recording tasks by final state", ["state"])
active_tasks = Gauge("livereel_active_tasks", "Recording tasks that take tags")
files = Counter("livereel_files", "Record files by format and final state", ["format", "state"])
files_verified = Counter("livereel_files_verified", "Record files that were read again, by result", ["result"])
damaged_spools = Gauge("livereel_damaged_spools", "Spools of damaged files that are kept")
damaged_spool_bytes = Gauge("livereel_damaged_spool_bytes", "Bytes of those spools")
worker_restarts = Counter("livereel_worker_restarts", "Worker processes that died and were restarted")
recorder_lag_bytes = Gauge("livereel_recorder_lag_bytes", "Spool bytes that recorder workers have not read yet")
recorder_out_of_room = Counter(
    "livereel_recorder_out_of_room", "Times a recorder worker let go of a task because the disk was full"
)
disk_free_bytes = Gauge("livereel_disk_free_bytes", "Bytes free for spools and files under way")
disk_used_ratio = Gauge("livereel_disk_used_ratio", "Share of their file system that is in use, 0 to 1")
disk_reserve_bytes = Gauge("livereel_disk_reserve_bytes", "Bytes wanted free for finishing the files under way")
disk_state = Gauge("livereel_disk_state", "0: room; 1: new recordings are refused; 2: recordings are being ended")
disk_refused = Counter("livereel_disk_refused", "Recordings that did not begin because the disk was full")
disk_ended = Counter("livereel_disk_ended", "Recordings that were ended because the disk was nearly full")
snapshots = Counter("livereel_snapshots", "Snapshots of live streams by outcome", ["outcome"])
pull_tasks = Gauge("livereel_pull_tasks", "Pull tasks that are pushed, or tried")
pull_failures = Counter("livereel_pull_failures", "Lives of pull tasks that ended with an error")
deletions = Counter("livereel_deletions", "Record files deleted from stores by outcome", ["outcome"])
store_objects = Counter("livereel_store_objects", "Objects and parts put into stores by outcome", ["outcome"])
upload_backlog_files = Gauge("livereel_upload_backlog_files", "Record files that wait for their store", ["bucket"])
upload_backlog_bytes = Gauge("livereel_upload_backlog_bytes", "Bytes that stores have not confirmed yet", ["bucket"])
upload_backlog_oldest_seconds = Gauge(
    "livereel_upload_backlog_oldest_seconds", "How long the oldest of those files has waited", ["bucket"]
)
messages = Counter("livereel_messages", "Delivery attempts of notifications and callbacks by outcome", ["outcome"])
outbox_pending = Gauge("livereel_outbox_pending", "Messages waiting for delivery")
requests = Counter("livereel_api_requests", "API requests by method, route and status", ["method", "route", "status"])
request_seconds = Histogram("livereel_api_request_seconds", "API request duration by route", ["route"])
