"""Authentication, authorisation and protection against replay, as raw ASGI middleware around the routes.

Signatures cover the bytes as sent, so this happens before anything is parsed. Start reading with `middleware`.
"""
