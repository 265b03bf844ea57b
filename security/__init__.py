"""Hardened readers, signatures, keys, sealing and pseudonyms: what keeps strangers out and secrets in.

This package imports nothing else of Passerelle and takes plain values.
"""
