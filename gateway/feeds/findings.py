"""What a verification of the ledger, or of an export of it, may find wrong."""

from __future__ import annotations

from typing import Final

from conformance.verdict import Rule, Text

__all__ = [
    "ENTRY_EDITED",
    "ENTRY_HIDDEN",
    "ENTRY_MISSING",
    "ENTRY_MOVED",
    "HEAD_DIFFERS",
    "HEAD_SIGNATURE",
    "HEAD_TRUNCATED",
    "LINK_BROKEN",
    "NODE_DIFFERS",
    "ROLLUP_DIFFERS",
    "RULES",
    "SEQUENCE_BROKEN",
    "STATE_DIFFERS",
]

_PROOF = "incentives 6.3"
_KEEP = Text(
    "Conservez la base en l'état, comparez-la aux têtes signées gardées hors de la passerelle, restaurez.",
    "Keep the database as it is, compare it with the signed heads kept outside the gateway, restore.",
)
_REBUILD = Text(
    "Les écritures font foi : reconstruisez les cumuls à partir d'elles, puis vérifiez de nouveau.",
    "The entries are what counts: rebuild the totals from them, then verify again.",
)

ENTRY_MISSING: Final = Rule(
    code="FEED-VERIFY-001",
    message=Text("Une écriture scellée a disparu.", "A sealed entry is gone."),
    fix=_KEEP,
    source=_PROOF,
)
ENTRY_EDITED: Final = Rule(
    code="FEED-VERIFY-002",
    message=Text("Une écriture scellée a été modifiée.", "A sealed entry was edited."),
    fix=_KEEP,
    source=_PROOF,
)
LINK_BROKEN: Final = Rule(
    code="FEED-VERIFY-003",
    message=Text(
        "Le chaînage est rompu : une écriture a été changée, déplacée ou remplacée.",
        "The chain is broken: an entry was changed, moved or replaced.",
    ),
    fix=_KEEP,
    source=_PROOF,
)
SEQUENCE_BROKEN: Final = Rule(
    code="FEED-VERIFY-004",
    message=Text("La numérotation des sceaux a un trou.", "The numbering of the seals has a gap."),
    fix=_KEEP,
    source=_PROOF,
)
ENTRY_MOVED: Final = Rule(
    code="FEED-VERIFY-005",
    message=Text("Une écriture a changé de propriétaire.", "An entry was moved to another owner."),
    fix=_KEEP,
    source=_PROOF,
)
ENTRY_HIDDEN: Final = Rule(
    code="FEED-VERIFY-006",
    message=Text(
        "Une écriture n'est ni scellée ni en attente de sceau.", "An entry is neither sealed nor waiting for its seal."
    ),
    fix=_KEEP,
    source=_PROOF,
)
STATE_DIFFERS: Final = Rule(
    code="FEED-VERIFY-007",
    message=Text(
        "L'état courant de la chaîne ne correspond pas à ses écritures.",
        "The stored state of the chain does not match its entries.",
    ),
    fix=_KEEP,
    source=_PROOF,
)
NODE_DIFFERS: Final = Rule(
    code="FEED-VERIFY-008",
    message=Text(
        "Un nœud enregistré de l'arbre de Merkle ne correspond pas aux écritures.",
        "A stored node of the Merkle tree does not match the entries.",
    ),
    fix=_KEEP,
    source="RFC 6962, 2.1",
)
HEAD_TRUNCATED: Final = Rule(
    code="FEED-VERIFY-009",
    message=Text(
        "Le journal est plus court que la tête signée : des écritures ont été retirées de la fin.",
        "The ledger is shorter than the signed head: entries were cut from its end.",
    ),
    fix=_KEEP,
    source=_PROOF,
)
HEAD_DIFFERS: Final = Rule(
    code="FEED-VERIFY-010",
    message=Text(
        "L'histoire d'avant la tête signée n'est plus la même : elle a été réécrite.",
        "The history before the signed head is no longer the same: it was rewritten.",
    ),
    fix=_KEEP,
    source=_PROOF,
)
HEAD_SIGNATURE: Final = Rule(
    code="FEED-VERIFY-011",
    message=Text("La signature de la tête n'est pas bonne.", "The signature of the head is not good."),
    fix=Text(
        "Vérifiez que la tête et la clé publique sont bien celles de cette passerelle.",
        "Check that the head and the public key are those of this gateway.",
    ),
    source=_PROOF,
)
ROLLUP_DIFFERS: Final = Rule(
    code="FEED-VERIFY-012",
    message=Text("Un cumul ne correspond pas aux écritures.", "A running total does not match the entries."),
    fix=_REBUILD,
    source="counts = entries",
)

#: All of them, for the reference page.
RULES: Final = (
    ENTRY_MISSING,
    ENTRY_EDITED,
    LINK_BROKEN,
    SEQUENCE_BROKEN,
    ENTRY_MOVED,
    ENTRY_HIDDEN,
    STATE_DIFFERS,
    NODE_DIFFERS,
    HEAD_TRUNCATED,
    HEAD_DIFFERS,
    HEAD_SIGNATURE,
    ROLLUP_DIFFERS,
)
