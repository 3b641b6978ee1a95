"""Examples that are nearly the same as an earlier one."""

from finetune.prepare.findings import Findings
from finetune.prepare.near import NearDuplicates
from finetune.prepare.remedies.remedy import NOTHING, Effect, Remedy
from finetune.prepare.remedies.rows import SHOWN


def near_duplicates(findings: Findings, near: NearDuplicates) -> Remedy | None:
    """They stay unless somebody says otherwise: several wordings of a question teach its answer."""
    if not near.count:
        return None
    pairs = near.pairs[:SHOWN]
    place = findings.survey.place_of
    named = ", ".join(f"{place(row)} (as {place(first)})" for first, row in pairs[:3])
    return Remedy(
        name="near",
        title=f"{near.count} rows are nearly the same as an earlier one",
        why=f"For example {named}. Wordings of a question help, copies of an example do not.",
        ways={"keep": NOTHING, "drop": Effect(drop=near.is_near)},
        rows=[row for pair in pairs for row in pair],
    )
