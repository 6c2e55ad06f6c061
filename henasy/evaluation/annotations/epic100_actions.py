"""EPIC-KITCHENS-100 action classes: which there are, the texts that describe each, and the class of every test clip.

A class is a pair of verb class and first noun class. All pairs of the training and the validation annotations are
classes, 3,806 in the published ones, in the order of their names "verb:noun" as strings.

N test clips, C classes.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import NotFoundError
from henasy.evaluation.annotations.csv_table import TableRow, read_table
from henasy.evaluation.annotations.epic100 import TEST_FILE, EpicClip, read_epic_clips

VALIDATION_FILE = "EPIC_100_validation.csv"
TRAIN_FILE = "EPIC_100_train.csv"
TRAIN_SENTENCE_FILE = "EPIC_100_retrieval_train_sentence.csv"


PUBLISHED_DIGEST = "fd2beeb78c376e0860f64811ff4b4839bcac65a157836ddc300c0c4efa29f3cf"
"""`label_digest` of the published annotations: only there do the papers' rows compare."""


class Action(NamedTuple):
    """A class."""

    verb: int
    noun: int

    @property
    def name(self) -> str:
        """As the reference names and sorts it."""
        return f"{self.verb}:{self.noun}"


class ActionFiles(NamedTuple):
    """The annotation files of action recognition."""

    test: Path
    train: Path


@dataclass(frozen=True, kw_only=True)
class EpicActions:
    """The test set."""

    clips: tuple[EpicClip, ...]
    """In the order of the file."""
    classes: tuple[Action, ...]
    texts_of: tuple[tuple[str, ...], ...]
    """Each class's different narrations, training first."""
    targets: NDArray[np.int64]
    """(N,) the class of each clip."""

    @property
    def verb_groups(self) -> NDArray[np.int64]:
        """(C,) the verb of each class, as its position among those that occur."""
        return np.unique([action.verb for action in self.classes], return_inverse=True)[1]

    @property
    def noun_groups(self) -> NDArray[np.int64]:
        """(C,) the first noun of each class, as its position among those that occur."""
        return np.unique([action.noun for action in self.classes], return_inverse=True)[1]


def load_epic_actions(folder: Path) -> EpicActions:
    """The action recognition test set of an EPIC-KITCHENS-100 annotation folder; files as `action_files` finds them.

    Raises:
        NotFoundError: if a file is missing.
        AnnotationError: if a column is missing or a value is out of range.

    Source: PROTOCOLS section 3.3.
    """
    files = action_files(folder)
    clips = read_epic_clips(files.test)
    narrated = _train_sentences(files.train) if files.train.name == TRAIN_SENTENCE_FILE else _train_clips(files.train)
    texts_of: dict[Action, dict[str, None]] = {}
    for action, narration in [*narrated, *((_action(clip), clip.narration) for clip in clips)]:
        texts_of.setdefault(action, {})[narration] = None
    classes = tuple(sorted(texts_of, key=lambda action: action.name))
    row_of = {action: row for row, action in enumerate(classes)}
    return EpicActions(
        clips=clips,
        classes=classes,
        texts_of=tuple(tuple(texts_of[action]) for action in classes),
        targets=np.array([row_of[_action(clip)] for clip in clips], np.int64),
    )


def label_digest(actions: EpicActions) -> str:
    """sha256 over the classes and the class of every clip."""
    labels = [[action.name for action in actions.classes], actions.targets.tolist()]
    return hashlib.sha256(json.dumps(labels).encode()).hexdigest()


def action_files(folder: Path) -> ActionFiles:
    """The files of a folder or of its `retrieval_annotations`.

    The test clips are those of `EPIC_100_validation.csv`, of which the retrieval test file is a copy. The training
    narrations are those of `EPIC_100_train.csv`, as in the reference; without it, those of the retrieval sentences,
    which give the same classes but each wording only once, to the class that had it first.

    Raises:
        NotFoundError: if none is there.
    """
    return ActionFiles(
        test=_first_of(folder, (VALIDATION_FILE, TEST_FILE)), train=_first_of(folder, (TRAIN_FILE, TRAIN_SENTENCE_FILE))
    )


def _first_of(folder: Path, names: tuple[str, ...]) -> Path:
    candidates = [place / name for name in names for place in (folder, folder / "retrieval_annotations")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise NotFoundError(f"no {' and no '.join(names)} in {folder} or its retrieval_annotations")


def _action(clip: EpicClip) -> Action:
    return Action(clip.verb_class, clip.noun_classes[0])


def _train_clips(path: Path) -> list[tuple[Action, str]]:
    rows = read_table(path, ("narration", "verb_class", "noun_class"))
    return [(Action(row.integer("verb_class"), row.integer("noun_class")), row.text("narration")) for row in rows]


def _train_sentences(path: Path) -> list[tuple[Action, str]]:
    """Each sentence's class and text.

    The published file ends with rows for the classes that no first occurrence of a narration covers, and there the
    narrations stand one row too low: the first repeats the row above it. Their texts are moved up again; the last
    one's is lost, so its verb and noun stand for it.
    """
    rows = read_table(path, ("narration", "verb_class", "noun_classes", "verb", "nouns"))
    texts = [row.text("narration") for row in rows]
    actions = [Action(row.integer("verb_class"), row.class_numbers("noun_classes")[0]) for row in rows]
    repeated = _first_repeated(texts)
    if repeated is not None and texts[repeated] == texts[repeated - 1]:
        texts = [*texts[:repeated], *texts[repeated + 1 :], _named(rows[-1])]
    return list(zip(actions, texts, strict=True))


def _first_repeated(texts: Iterable[str]) -> int | None:
    seen: set[str] = set()
    for row, text in enumerate(texts):
        if text in seen:
            return row
        seen.add(text)
    return None


def _named(row: TableRow) -> str:
    """`wipe off kitchen towel` of the verb `wipe-off` and the nouns `['towel:kitchen']`."""
    try:
        noun = ast.literal_eval(row.text("nouns"))[0]
        words = " ".join(reversed(noun.split(":")))
    except (ValueError, SyntaxError, LookupError, AttributeError, TypeError) as error:
        raise row.error("nouns", "a list of words, e.g. ['towel:kitchen']") from error
    return f"{row.text('verb').replace('-', ' ')} {words}"
