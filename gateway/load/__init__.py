"""The load generator: fictitious documents sent to a running gateway at a steady rate, and what came of them."""
