"""Metrics: figures of a run by the definitions of one catalogue, each with the SQL that computes it again."""
