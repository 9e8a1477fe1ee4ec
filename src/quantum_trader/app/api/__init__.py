"""Routers for a web server of one's own; they need the extra ``serve``."""
