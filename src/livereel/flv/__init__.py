"""FLV tags, codec headers, script data and spool marks. Sans-IO, standard library only.

Here lives what the bytes of a tag mean; files, sockets and decisions about recordings do not belong here.
Start reading with `tags`, then `codecs`.
"""
