"""The pilot in research: its training on a recording, and what that gave."""
