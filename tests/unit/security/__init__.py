"""Tests of the security package."""
