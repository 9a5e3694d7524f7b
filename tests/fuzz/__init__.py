"""Fuzzing of every parser that takes bytes or names from strangers.

`targets_*` say what must hold for any input, `campaign` lets atheris look for an input for which it does not, `corpus/`
holds what encoders really send and what was found. `test_corpus` replays the corpus everywhere; `test_fuzzing` looks
for new inputs briefly and `make fuzz MINUTES=30` for longer.
"""
