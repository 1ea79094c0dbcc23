"""Two lines of every report: what was checked before the answer was given, and what was found."""

from collections.abc import Mapping

from deeppneumonia.domain import PatientDiagnosis, Status
from deeppneumonia.domain.wording import counted
from deeppneumonia.reports.document import Fact
from deeppneumonia.reports.wording import capitalised, listed

LIKENESS = "likeness to the training patients"


def trust_lines(diagnosis: PatientDiagnosis) -> tuple[Fact, ...]:
    """What was checked and what was found; nothing where the study could not be read.

    Reads `diagnosis.quality["trust"]`: `checked`, a list of words, and `distance` and `limit`,
    None where the model keeps no statistics of its training patients.
    """
    trust = diagnosis.quality.get("trust")
    if not isinstance(trust, Mapping):
        return ()
    distance, limit = trust.get("distance"), trust.get("limit")
    checked = [str(what) for what in trust.get("checked", ())]
    found = [_found(diagnosis)]
    if isinstance(distance, (int, float)) and isinstance(limit, (int, float)):
        checked.append(LIKENESS)
        found.append(
            f"Distance from the training patients: {distance:.2f}, where 1 is typical and "
            f"{limit:.2f} is the limit."
        )
    elif diagnosis.status is not Status.REFUSED:
        found.append(f"Not checked: {LIKENESS}; this model keeps no statistics of them.")
    return (
        Fact("Checked", f"{capitalised(listed(checked))}."),
        Fact("Found", " ".join(found)),
    )


def _found(diagnosis: PatientDiagnosis) -> str:
    against = sum(flag.blocks for flag in diagnosis.flags)
    doubts = sum(flag.leaves_open for flag in diagnosis.flags)
    remarks = len(diagnosis.flags) - against - doubts
    if against:
        return f"{capitalised(counted(against, 'reason'))} not to answer."
    parts = [
        f"{counted(doubts, 'reason')} to leave the answer open" if doubts else "",
        counted(remarks, "remark") if remarks else "",
    ]
    told = listed([part for part in parts if part])
    return f"{capitalised(told)}, above." if told else "Nothing unusual."
