"""PDSm (French MHD) on the gateway's own side: what is asked in FHIR, done by the same journey and the same client."""
