"""What a caller gets at once, without a journey: reading and checking what was sent, searches, renderings."""
