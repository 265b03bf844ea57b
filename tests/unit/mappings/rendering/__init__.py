"""Tests of mappings.rendering."""
