"""Repositories: SQL behind the protocols of `catalogue.port`, one module per subject. Start with `base`."""
