"""Sockets of publishers: listener, connection, admission, the batched-read pump.

Knows sockets, sessions and streams; decides nothing about who may push (that is `admission`, implemented in `control`)
and knows no recordings. Start reading with `listener`, then `pump`, which is where the CPU time is saved.
"""
