"""Use cases without transport: templates, domains, publishing, recording, contents.

Raises `domain.errors`; knows neither HTTP nor RTMP sessions.
"""
