"""``passerelle purge``: what is past its retention is removed now, rather than at the worker's next round."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def purge(
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Days after which contents go; those of the settings if not given.")
    ] = None,
    evidence_older_than: Annotated[
        float | None, typer.Option(min=0, help="The same for exchanges with national services.")
    ] = None,
    scrub: Annotated[
        bool,
        typer.Option(
            "--scrub",
            help="Then write the database anew, so that nothing removed is left on the disk; it takes no document "
            "meanwhile, some 100 MB a second.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> None:
    """Remove contents, traits, addresses and exchanges past their retention; rows of codes and the ledger stay."""
    import sys

    import orjson

    from gateway.commands.common import open_store, open_vault, starting
    from gateway.journey.clock import utc_now
    from gateway.journey.purge import Retention
    from gateway.journey.purge import purge as remove

    with starting() as settings, open_store() as store:
        days = {"retention_days": older_than, "evidence_days": evidence_older_than}
        asked = settings.model_copy(update={name: value for name, value in days.items() if value is not None})
        now = utc_now()
        done = remove(store, open_vault(settings, store), Retention.of(asked, now), now)
        gone = store.scrub(within=60.0, thorough=scrub)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps({**done, "scrubbed": gone and scrub}) + b"\n")
    else:
        typer.echo(", ".join(f"{count} {WORDS[kind]}" for kind, count in done.items()) or "Rien à retirer.")
    if not gone:
        typer.echo(
            "La base était lue par d'autres : ce qui est retiré peut encore se trouver sur le disque. Recommencez.",
            err=True,
        )
        raise typer.Exit(1)


WORDS = {
    "documents": "document(s)",
    "contents": "contenu(s)",
    "messages": "message(s)",
    "received": "message(s) reçu(s)",
    "exchanges": "échange(s)",
    "keys": "clé(s) d'idempotence",
    "calls": "appel(s) de webhook",
    "identities": "identité(s)",
}
