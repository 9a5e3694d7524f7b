"""RTMP as the server of a publisher sees it: handshake, chunks, commands, session. Sans-IO, sans-clock, stdlib only.

Start reading with `session`: its state table is the protocol; `chunks` is the hot path, chosen by `demuxer`.
Nothing here opens sockets, reads clocks or knows what a recording is.
"""
