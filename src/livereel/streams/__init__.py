"""Live streams of this node: registry, tracks, key-frame ring, statistics.

Knows no RTMP sessions, no recordings and no clocks: tags and `now` are handed in, sinks take tags out.
Start reading with `stream`.
"""
