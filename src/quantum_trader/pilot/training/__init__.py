"""Training of the pilot. Modules that import JAX are imported only when something is trained: the extra `train`."""
