"""What recording costs: livereel's ingest and spool against nginx-rtmp's `record all`, in one run.

`python -m bench.ingest` is the command (start reading in `__main__`); `pusher.c` makes the load, `load` tells it what
to send, `servers` starts both servers, `server` is livereel's ingest and spool without the rest.
"""
