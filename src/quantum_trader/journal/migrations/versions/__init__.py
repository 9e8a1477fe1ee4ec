"""One file per migration, named by number."""
