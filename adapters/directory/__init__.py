"""The Annuaire Santé: who practises where, and which secure mailboxes they have; a client of its FHIR interface."""
