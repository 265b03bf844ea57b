"""The DMP (dossier médical partagé): feeding, replacing, finding, reading and changing documents, and a simulator."""
