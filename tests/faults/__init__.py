"""Faults on purpose, and what must hold all the same: the promise of docs/topics/recovery.md."""
