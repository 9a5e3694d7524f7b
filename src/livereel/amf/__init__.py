"""AMF0 and AMF3 values as RTMP commands and script data carry them. Sans-IO, standard library only.

Here lives the translation between bytes and plain Python values, within limits; what a value means (a command, stream
metadata) does not belong here. Start reading with `values`, then `amf0`.
"""
