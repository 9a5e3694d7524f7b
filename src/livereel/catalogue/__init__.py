"""The database: projects, users, domains, templates, tasks, record files, outbox. SQLAlchemy and Alembic stay in here.

`port` is what others ask of it, `engine.open_catalogue` makes one, `tables` says what it holds, `repositories` turn
rows into domain nouns, `unit_of_work` is the transaction around them, `migrations` are the schema versions. No rules
live here: what a state may become is decided by the domain. Start reading with `port`, then `tables`.
"""
