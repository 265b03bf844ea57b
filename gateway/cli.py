"""The ``passerelle`` command: one module a command group, loaded only when asked for, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["app", "main"]

#: Command -> module that holds it, and its line in the list. A test holds the two together.
COMMANDS: dict[str, tuple[str, str]] = {
    "convert": ("gateway.commands.convert", "Translate a document between json, cda and fhir."),
    "check": ("gateway.commands.check", "Check documents and explain every finding."),
    "packs": ("gateway.commands.packs", "Official rules and value sets you have downloaded."),
    "serve": ("gateway.commands.serve", "Run the gateway: HTTP interface and, by default, its workers."),
    "worker": ("gateway.commands.worker", "Run workers alone, on a shared PostgreSQL database."),
    "sandbox": ("gateway.commands.sandbox", "Run strict simulators of DMP, INSi and MSSanté on this machine."),
    "demo": ("gateway.commands.demo", "The main job end to end, on this machine, in a minute."),
    "tenants": ("gateway.commands.tenants", "Structures that use the gateway."),
    "accounts": ("gateway.commands.accounts", "People who sign in to the console."),
    "keys": ("gateway.commands.keys", "Check the certificates and keys that settings and structures name."),
    "evidence": ("gateway.commands.evidence", "Export the exchanges kept as proof."),
    "clients": ("gateway.commands.clients", "Programs allowed to call, their keys and grants."),
    "identity": ("gateway.commands.identity", "Search, verify and evaluate identities (INS)."),
    "mail": ("gateway.commands.mail", "Read or build MSSanté mails by hand."),
    "patient": ("gateway.commands.patient", "Rights of persons: export or erase what is held about a patient."),
    "posology": ("gateway.commands.posology", "Write the French sentence of structured posologies."),
    "backup": ("gateway.commands.backup", "Copy the database while it serves."),
    "restore": ("gateway.commands.restore", "Put a copy back; it asks before it sends."),
    "purge": ("gateway.commands.purge", "Remove what is past its retention."),
    "load": ("gateway.commands.load", "Send documents at a steady rate and say what came of them."),
    "feeds": ("gateway.commands.feeds", "Count what was fed, verify the ledger, evaluate incentive rules."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        known = COMMANDS.get(cmd_name)
        if known is None:
            return None
        if "--help" in sys.argv[1:2] or len(sys.argv) == 1:
            # The list of commands needs a line of each, not its code.
            return TyperCommand(cmd_name, help=known[1])
        module: Any = importlib.import_module(known[0])
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=LazyGroup,
    name="passerelle",
    help="Passerelle: gateway to the French national health services (INS, DMP, MSSanté).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def root() -> None:
    """Passerelle: gateway to the French national health services (INS, DMP, MSSanté)."""


def main() -> None:
    """Run the command line."""
    app()
