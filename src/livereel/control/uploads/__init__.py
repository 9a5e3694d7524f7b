"""Files on their way into their stores, however long that takes and whoever dies meanwhile.

`service` is what finishing talks to. Each record file has a carrier: `files` for FLV and MP4, which go up in parts as
they grow where the store can do that, `slices` for HLS. `carrier` is what both share: trying again, moving to a second
bucket, the row in the catalogue. `outages` knows which stores are away, `discards` removes what nobody wants any more.
"""
