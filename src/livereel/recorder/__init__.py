"""From spool to files: the supervisor here, the muxing in worker processes.

Only `muxing` and `probe` touch libav, and only worker processes import those.
"""
