"""RFC 3161 time-stamps: asking an authority that bytes existed at an instant, and checking what it answered."""

from adapters.timestamping.client import TimestampClient, TimestampRefused, checked, stamped_at

__all__ = ["TimestampClient", "TimestampRefused", "checked", "stamped_at"]
