"""The tables of the first schema, one module a room."""
