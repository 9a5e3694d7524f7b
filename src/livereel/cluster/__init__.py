"""Who owns a live stream and how its owner is asked. `port` first, then the adapters."""
