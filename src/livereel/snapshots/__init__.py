"""JPEG pictures from coded frames: the pool here, decoding and encoding in worker processes.

Frames of strangers are decoded by libav, so only worker processes do it (`decode`, `worker`); `pool` keeps those alive
and bounds what they may cost. Nothing here knows streams, stores or configurations. Start reading with `pool`.
"""
