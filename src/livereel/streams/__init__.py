"""Live streams of this node: registry, tracks, key-frame ring, statistics. Knows no RTMP sessions, no recordings."""
