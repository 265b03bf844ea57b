"""The HTTP interface: one module a resource, the shapes of the published reference."""
