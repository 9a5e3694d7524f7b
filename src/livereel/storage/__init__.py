"""Stores: where finished objects live. `port` is what others ask of a store; adapters beside it."""
