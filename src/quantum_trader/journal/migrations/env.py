"""Alembic's entry point: runs the migrations on the connection of the trade journal."""

from __future__ import annotations

from alembic import context

from quantum_trader.journal.tables import METADATA

config = context.config
connection = config.attributes.get("connection")

if connection is None:  # `alembic upgrade --sql`: print the statements for a database administrator
    context.configure(
        url=config.get_main_option("sqlalchemy.url"), target_metadata=METADATA, literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
else:
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
