"""Schema versions of the catalogue: one Alembic step per module in `versions`, applied by `catalogue.schema`.

A released step is never edited; a change of `catalogue.tables` is a new step (copy the newest one, set `revision` and
`down_revision`). Steps run on SQLite and PostgreSQL inside one transaction; on SQLite alter tables with
`op.batch_alter_table`. A test compares the result with `catalogue.tables`.
"""
