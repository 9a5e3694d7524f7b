"""Schema versions of the catalogue: one Alembic step per module in `versions`, applied by `catalogue.schema`.

A released step is never edited; a change of `catalogue.tables` is a new step (copy the newest one, set `revision` and
`down_revision`). Steps run on SQLite and PostgreSQL inside one transaction. On SQLite `op.add_column` with a constant
server default is safe; what needs `op.batch_alter_table` makes the table anew, and dropping the old one deletes all
rows that refer to it (ON DELETE CASCADE). Tests compare the result with `catalogue.tables` and upgrade a filled
database.
"""
