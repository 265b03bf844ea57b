"""Translation between forms of a clinical document: the hub, CDA R2, FHIR R4, registry metadata, renderings.

Pure: values in, values out. Nothing here reads a clock, draws an identifier, opens a file of others or a socket.
"""
