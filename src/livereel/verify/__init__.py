"""Record files read again: the pool here, reading and decoding in worker processes.

`check` compares a file with the account that the recorder kept of the spool, `compare` holds the numbers, `objects`
reads and hashes, `decode` tries the frames, `remake` makes a file from the spool again; `check`, `decode` and `remake`
touch libav, so only worker processes import them. `pool` keeps those alive. Nothing here knows stores or the catalogue.
Start reading with `request`, then `check`.
"""
