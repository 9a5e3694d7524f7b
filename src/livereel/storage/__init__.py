"""Stores: where finished objects live, as whole objects under keys in buckets. No media, no database.

`port` is what others ask of a store; `local` keeps a bucket in a directory, `object_store` one in S3, OBS, GCS or Azure
(the only place for obstore), `buckets` says which is which, `credentials` notices new keys, `urls` signs download
links, `threads` keeps a bucket that hangs from holding up others. Start reading with `port`.
"""
