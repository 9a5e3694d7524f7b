"""Sockets of publishers: listener, connection, the batched-read pump."""
