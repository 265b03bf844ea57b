"""The national e-prescription service, behind a seam of our own: its contract is not public."""
