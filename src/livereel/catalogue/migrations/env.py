"""Alembic's entry point: runs the steps on the connection that `catalogue.schema` hands over."""

from alembic import context

from livereel.catalogue.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
