"""The dashboard in a terminal: what a state folder tells, page by page, read without a lock."""
