"""Pulling live sources and files and pushing them into streams: the supervisor here, each task in a process of its own.

libav reads what strangers made, so only worker processes use it (`source`, `output`, `worker`), and it never connects
anywhere: all sockets are opened by `net`, which checks the very address it connects to. HTTP is spoken by `web`, RTMP
and RTSP sources go through `relay`, the push goes out through `publisher`. Nothing here knows the catalogue or decides
when a task runs. Start reading with `supervisor`, then `worker`.
"""
