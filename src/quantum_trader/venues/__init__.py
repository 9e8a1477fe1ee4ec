"""Adapters of the venue port: where orders meet prices."""
