"""Examples and schemas that the OpenAPI document shows."""

from __future__ import annotations

from typing import Any

__all__ = ["DOCUMENT_BODY", "RECEIPT_EXAMPLE"]

RECIPIENT_KINDS = ["professional", "structure", "application", "citizen"]

RECEIPT_EXAMPLE: dict[str, Any] = {
    "id": "doc_01KD8Z3V5R6T7W8X9YABCDEFGH",
    "state": "accepted",
    "kind": "report",
    "uniqueId": "2.25.306012345678901234567890",
    "receivedAt": "2026-11-22T09:30:00+01:00",
    "deliveries": [
        {
            "id": "dlv_01KD8Z3V5R6T7W8X9YABCDEFGJ",
            "to": "dmp",
            "state": "held",
            "reason": "identity_not_qualified",
            "cause": "L'identité du patient n'est pas qualifiée.",
            "fix": "Récupérez l'INS puis contrôlez une pièce d'identité.",
            "attempts": 0,
            "expiresAt": "2027-02-20T09:30:00+01:00",
        },
        {"id": "dlv_01KD8Z3V5R6T7W8X9YABCDEFGK", "to": "mss", "state": "queued", "recipients": 1, "attempts": 0},
    ],
    "loss": {"carried": 41, "textOnly": 0, "lost": 0},
    "warnings": [],
    "links": {
        "self": "/v1/documents/doc_01KD8Z3V5R6T7W8X9YABCDEFGH",
        "cda": "/v1/documents/doc_01KD8Z3V5R6T7W8X9YABCDEFGH/cda",
        "fhir": "/v1/documents/doc_01KD8Z3V5R6T7W8X9YABCDEFGH/fhir",
        "loss": "/v1/documents/doc_01KD8Z3V5R6T7W8X9YABCDEFGH/loss",
        "view": "/v1/documents/doc_01KD8Z3V5R6T7W8X9YABCDEFGH/view",
    },
}

DOCUMENT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["document"],
                "properties": {
                    "document": {"type": "object", "description": "The document; see the document reference."},
                    "actor": {"type": "object", "description": "Professional who acts, when not the author."},
                    "deliverTo": {
                        "type": "object",
                        "properties": {
                            "dmp": {"type": "boolean", "default": True},
                            "mss": {
                                "type": "object",
                                "properties": {
                                    "recipients": {
                                        "type": "array",
                                        "items": {
                                            "type": "object",
                                            "properties": {
                                                "address": {"type": "string"},
                                                "kind": {"enum": RECIPIENT_KINDS},
                                            },
                                        },
                                    }
                                },
                            },
                        },
                    },
                    "allowLoss": {"type": "boolean", "default": False},
                },
            },
            "example": {
                "deliverTo": {
                    "dmp": True,
                    "mss": {"recipients": [{"address": "cabinet@exemple.mssante.fr", "kind": "professional"}]},
                },
                "document": {"kind": "report", "title": "Compte rendu de consultation"},
            },
        },
        "application/fhir+json": {"schema": {"type": "object", "description": "FHIR R4 document Bundle."}},
        "application/xml": {"schema": {"type": "string", "description": "CDA R2 document."}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["metadata", "file"],
                "properties": {
                    "metadata": {"type": "string", "description": "JSON: a report without content, deliverTo."},
                    "file": {"type": "string", "format": "binary", "description": "PDF, text, CDA or FHIR Bundle."},
                },
            }
        },
    },
}
