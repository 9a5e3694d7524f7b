"""Faults on purpose: processes killed, disks and stores that fail, networks that cut; what must hold is in docs/topics/recovery.md."""
