"""E-prescriptions once written: what was given, what may still be given, and why a dispensation is refused. Pure."""
