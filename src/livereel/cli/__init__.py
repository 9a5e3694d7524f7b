"""The `livereel` command and its settings."""
