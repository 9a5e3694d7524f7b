"""Nouns and rules: stream keys, templates, naming, state tables, timeline, errors.

Standard library only: no I/O, no clock, no randomness. `now` and ids are arguments.
Start reading with `keys`, then `templates`, then `states`.
"""
