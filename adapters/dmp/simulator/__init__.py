"""A DMP as strict as the real one: registry, repository and patients service, with state."""
