"""Shipped helpers for tests and the demo: media source, publisher, media assertions, fake clock."""
