"""Tests of conformance.cda."""
