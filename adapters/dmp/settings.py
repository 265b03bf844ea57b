"""Where the DMP is, and everything that differs from one environment to the next (dmp.md 1.2, 2, 5, 10).

What public sources only guess (limits, digests, paths) is a setting here, never a constant elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from adapters.dmp.patient_list import PatientListForm
from security.vihf import Software, VihfProfile

__all__ = ["DmpEndpoint"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DmpEndpoint:
    """One environment of the DMP, for one structure."""

    registry: str  #: URL of ITI-18 and ITI-57
    repository: str  #: URL of ITI-41 and ITI-43
    patients: str  #: URL of TD0.2
    habilitations: str  #: URL of TD0.3
    patients_specific: str = ""  #: URL of TD0.4, whose path is not public: that of TD0.2 unless given
    patient_list: PatientListForm = field(default_factory=PatientListForm)  #: how TD0.4 is spelt, a guess
    software: Software
    source_id: str  #: OID of this system: sourceId of sets, sender of HL7 v3 messages
    receiver_id: str = "1.2.250.1.213.4.1.1.1"  #: OID of the DMP
    processing_code: Literal["D", "P"] = "D"  #: D for tests, P in production
    vihf: VihfProfile = field(default_factory=VihfProfile)
    set_digest: Literal["sha1", "sha256"] = "sha256"  #: of the set signature; sha1 where the environment wants it
    max_document_bytes: int = 5 * MIB
    max_set_bytes: int = 10 * MIB
    max_answer_bytes: int = 24 * MIB
    max_documents: int = 18  #: in one set; with the envelope and the signature, 20 parts
    both_restrictions: bool = False  #: parameter ``cumul-invisible_patient-masque_ps`` of the DMP
    connect_timeout: float = 5.0  #: seconds
    total_timeout: float = 25.0  #: seconds, from connection to the last byte of the answer
    #: seconds a new connection must stay silent for the certificate to be taken as accepted, after a broken one
    probe_wait: float = 0.5
    connections: int = 8  #: kept open at most
    content_id_host: str = "passerelle.invalid"

    @classmethod
    def at(cls, base: str, *, software: Software, source_id: str, **options: object) -> DmpEndpoint:
        """The usual paths below a base URL (``https://host/si-dmp-server/v2/services``)."""
        base = base.rstrip("/")
        return cls(
            registry=f"{base}/registry",
            repository=f"{base}/repository",
            patients=f"{base}/patients",
            habilitations=f"{base}/habilitations",
            software=software,
            source_id=source_id,
            **options,  # type: ignore[arg-type]
        )
