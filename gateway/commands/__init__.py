"""The commands of ``passerelle``, one module a group; each has a Typer application named ``app``."""
