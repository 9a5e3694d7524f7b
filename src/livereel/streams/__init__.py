"""Live streams of this node: registry, tracks, key-frame ring, statistics. Knows neither RTMP sessions nor recordings."""
