"""livereel: a self-hosted live-stream recorder. ARCHITECTURE.md says where things live."""

__version__ = "0.1.0"
