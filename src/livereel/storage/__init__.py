"""Stores: where finished objects live, as whole objects under keys in buckets. No media, no database, no HTTP.

`port` is what others ask of a store; `local` keeps a bucket in a directory, `buckets` says which there are, `urls`
signs download links. Start reading with `port`.
"""
