"""Reports of runs and sweeps: HTML pages, terminal tables, charts."""
