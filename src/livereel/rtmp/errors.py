"""The error of this package. It stays inside: `session.Session` turns it into a Closed event."""


class ProtocolError(Exception):
    """The peer broke the protocol or exceeded a limit; the connection cannot go on."""
