"""Pro Santé Connect: who the practitioner is, by OpenID Connect (code flow and CIBA), and a simulated provider."""
