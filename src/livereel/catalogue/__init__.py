"""The database: `port` says what it offers, `tables` what it holds. SQLAlchemy stays in here."""
