"""The append-only record of what was received, one directory per task: format, writer, tail, recovery.

The spool is the truth: every output is derived from it and can be derived again. Nothing here knows sockets,
recordings or muxers; nothing here changes what was received. Start reading with `format`.
"""
