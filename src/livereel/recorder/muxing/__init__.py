"""One module per container, and the port they share. With `probe` the only place of the server that knows libav.

A writer makes one file of whole packets in order of time, whose clock starts at 0. It decides nothing: where files
begin and end is the cutter's business. Start reading with `port`.
"""
