"""Write the dated value sets shipped with ``conformance.terminology`` from an ANS CDA pack the operator has.

    python scripts/make_value_sets.py PACK > conformance/terminology/data/value-sets.json

PACK holds ``jeuxDeValeurs/JDV_*.xml`` (IHE SVS form). Codes, systems and labels only: facts, with source and date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conformance.terminology.svs import read_value_set
from security.xml import parse

#: The sets our rules ask for (``bind`` in the rule files, ``terminology`` in the code).
NAMES = """
AbsentOrUnknownAllergy AbsentOrUnknownDevices AbsentOrUnknownImmunization AbsentOrUnknownMedication
AbsentOrUnknownProblem AbsentOrUnknownProcedure AutreRisque CompletudeDispensation Deplacement EtatPsychique Evolution
Gravite HL7_ActSubstanceAdministrationImmunizationCode HL7_ActSubstanceAdminSubstitutionCode HL7_ConditionClinical
HL7_Confidentiality HL7_PersonalRelationshipRoleType HL7_TimingEvent HL7_allergy_intolerance_criticality
HL7_allergyintolerance_clinical HL7_condition_ver_status HealthStatusCodes HumanSubstanceAdministrationSite
ImmunizationApproachSiteCode ImmunizationRouteCodes Imputabilite J01_XdsAuthorSpecialty
J02_XdsHealthcareFacilityTypeCode J04_XdsPracticeSettingCode J07_XdsTypeCode J08_XdsConfidentialityCode
J11_RelationPatient J140_EncounterParticipationType J141_RoleClass J142_TypeRencontre J143_AdministrativeGender
J144_ParticipationType J245_Civilite J246_Titre J47_FunctionCode ObservationGrossesse OrigineEffetIndesirable
ProblemCodes RouteofAdministration SeveriteObservation SignesVitaux SocialHistoryCodes StatutTabagique
TypeDirectiveAnticipee TypeEvenementIndesirablePrevisible
""".split()


def main(pack: Path) -> None:
    """Print the table of every set of :data:`NAMES`."""
    sets = {}
    for name in sorted(NAMES):
        found = read_value_set(parse((pack / "jeuxDeValeurs" / f"JDV_{name}_CISIS.xml").read_bytes()))
        sets[found.oid] = {"name": found.name, "date": found.date, "codes": found.as_table()}
    table = {
        "source": "Agence du numérique en santé, Nomenclatures des objets de santé (jeux de valeurs CI-SIS)",
        "date": max(each["date"] for each in sets.values()),
        "sets": sets,
    }
    json.dump(table, sys.stdout, ensure_ascii=False, indent=0, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
