"""Verdicts: identifiers, identities, CDA, FHIR and registry metadata, each finding with its place and how to mend it.

Pure: no I/O beyond this package's own data files; clock and ids come in as arguments.
"""
