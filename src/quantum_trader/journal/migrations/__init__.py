"""The trade journal's schema, step by step; Alembic runs the missing migrations when a database is opened."""
