"""The columns of a sweep's tables, one module a table; import the module and use its names qualified."""
