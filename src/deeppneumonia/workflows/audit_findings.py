"""What an audit found, in sentences that a person can act on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from deeppneumonia.datasets import LeakReport
from deeppneumonia.domain.wording import counted
from deeppneumonia.evaluation.guessing import Guess
from deeppneumonia.reports.audit import auc_in_words
from deeppneumonia.reports.wording import capitalised, listed


class Seen(StrEnum):
    """What it means when a label can be guessed from something."""

    MAKING = "making"
    """It comes from scanner and export and must say nothing: the label is given away."""

    BODY = "body"
    """It may be the disease itself, or the export: a line that every network has to beat."""

    COLUMN = "column"
    """A word of the manifest: a network never sees it, but what it stands for may be in view."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a label might be guessed from."""

    title: str
    meaning: str
    seen: Seen


Answers = Sequence[tuple[Question, Guess]]


def is_clean(leaks: LeakReport, guesses: Answers) -> bool | None:
    """Whether nothing was found that should not be; None where the label could not be guessed.

    False outweighs None: a leak is one, whatever could not be measured beside it.
    """
    if not leaks.is_clean or _found(guesses, Seen.MAKING) or _found(guesses, Seen.COLUMN):
        return False
    return True if any(g.measured for q, g in guesses if q.seen is Seen.MAKING) else None


def headline_of(leaks: LeakReport, guesses: Answers) -> str:
    """The one line to read."""
    away = [question.title for question, guess in _found(guesses, Seen.MAKING)]
    columns = [question.title for question, guess in _found(guesses, Seen.COLUMN)]
    parts = []
    if away:
        parts.append(f"the label can be guessed from {listed(away)}, without a lung")
    elif columns:
        parts.append(f"the label goes with {listed(columns)}")
    if leaks.label_conflicts:
        parts.append("labels contradict each other")
    if leaks.crosses:
        parts.append("patients or pictures stand on both sides")
    if parts:
        return f"{capitalised('; '.join(parts))}."
    if is_clean(leaks, guesses) is None:
        return "No leak was found; whether the label can be guessed could not be measured."
    return "No leak was found, and nothing that gives the label away."


def sentences_of(leaks: LeakReport, guesses: Answers) -> list[str]:
    """Every finding, the gravest first; one reassuring sentence where there is none."""
    sentences = [*_contradictions(leaks), *_leaks(leaks)]
    sentences += [_gives_away(*one) for one in _found(guesses, Seen.MAKING)]
    sentences += [_goes_with(*one) for one in _found(guesses, Seen.COLUMN)]
    sentences += [_to_beat(*one) for one in _found(guesses, Seen.BODY)]
    if sentences:
        return sentences
    if is_clean(leaks, guesses) is None:
        return [
            "No leak was found. Whether the label is given away is open: see what was not done."
        ]
    return [
        "Nothing was found that should not be. That shows no more than what was looked at below."
    ]


def _contradictions(leaks: LeakReport) -> list[str]:
    count = len(leaks.label_conflicts)
    if not count:
        return []
    return [
        f"{counted(count, 'patient or picture has', 'patients or pictures have')} more "
        f"than one label; they are left out of the guesses where a patient is torn. Correct them."
    ]


def _leaks(leaks: LeakReport) -> list[str]:
    in_two_splits = sum(len(each.splits) > 1 for each in leaks.shared_patients)
    same = len(leaks.identical), "file stands", "files stand", "byte for byte the same"
    alike = len(leaks.near_identical), "pair of pictures is", "pairs of pictures are", "alike"
    sentences = []
    if in_two_splits:
        sentences.append(
            f"{counted(in_two_splits, 'patient is', 'patients are')} in more than "
            f"one split: the test is then a test of memory. Split again with `deeppneumonia split`."
        )
    for count, one, many, how in (same, alike):
        if count:
            sentences.append(
                f"{counted(count, one, many)} {how} under different patients, splits or "
                f"labels: the same person may have two ids."
            )
    return sentences


def _gives_away(question: Question, guess: Guess) -> str:
    telling = f" Most of it is in the {guess.strongest}." if guess.strongest else ""
    return (
        f"The {question.title} gives the label away: patient AUC {_auc(guess)}, though it shows no "
        f"lung tissue ({question.meaning}).{telling} A network may learn this instead of the "
        f"disease; a good score on this manifest proves nothing by itself."
    )


def _goes_with(question: Question, guess: Guess) -> str:
    return (
        f"The {question.title} tells the label with patient AUC {_auc(guess)}. Unless it is the "
        f"diagnosis in other words, it names a source that patients of one label came from."
    )


def _to_beat(question: Question, guess: Guess) -> str:
    return (
        f"Guessing from {question.title} reaches patient AUC {_auc(guess)}. This may be the "
        f"disease or the export; a network that does not clearly beat it has shown nothing."
    )


def _found(guesses: Answers, seen: Seen) -> list[tuple[Question, Guess]]:
    found = [one for one in guesses if one[0].seen is seen and one[1].gives_away]
    return sorted(found, key=lambda one: -(one[1].auc["value"] or 0))


def _auc(guess: Guess) -> str:
    return auc_in_words(**guess.auc)
