"""The pure trading engine, its books and gateway, and the drivers that feed it."""
