"""The action classes of EPIC-KITCHENS-100: the published ones, and files the loader must refuse or put right."""

from pathlib import Path

import pytest

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.annotations.epic100 import TEST_FILE
from henasy.evaluation.annotations.epic100_actions import (
    PUBLISHED_DIGEST,
    TRAIN_FILE,
    TRAIN_SENTENCE_FILE,
    VALIDATION_FILE,
    Action,
    label_digest,
    load_epic_actions,
)

HEADER = "narration_id,video_id,start_timestamp,stop_timestamp,narration,verb_class,all_noun_classes"
CLIPS = (
    "P01_1_0,P01_1,00:00:01.00,00:00:02.00,take plate,0,[2]",
    'P01_1_1,P01_1,00:00:02.00,00:00:03.00,wash cup and plate,10,"[7, 2]"',
)
SENTENCE_HEADER = "narration_id,narration,verb_class,noun_classes,verb,nouns"
SENTENCES = (
    "P02_1_0,take the plate,0,[2],take,['plate']",
    "P02_1_1,cut bread,2,[9],cut,['bread']",
)
SHIFTED = (
    "P02_1_7,cut bread,58,[21],sharpen,['whetstone']",
    "P02_1_8,sharpening,7,[30],wipe-off,['towel:kitchen']",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / TEST_FILE, HEADER, *CLIPS)
    write(tmp_path / TRAIN_SENTENCE_FILE, SENTENCE_HEADER, *SENTENCES)
    return tmp_path


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")


def test_the_published_annotations_have_3806_actions(shared_dir: Path) -> None:
    actions = load_epic_actions(shared_dir / "data" / "epic100")
    assert len(actions.classes) == 3806
    assert len(actions.clips) == len(actions.targets) == 9668
    assert label_digest(actions) == PUBLISHED_DIGEST
    names = [action.name for action in actions.classes]
    assert names == sorted(set(names))
    texts = dict(zip(actions.classes, actions.texts_of, strict=True))
    # of the rows whose narrations the published file shifts
    assert texts[Action(58, 212)] == ("sharpening",)
    assert texts[Action(2, 93)] == ("wipe off kitchen towel",)


def test_classes_are_pairs_sorted_as_strings(folder: Path) -> None:
    actions = load_epic_actions(folder)
    assert actions.classes == (Action(0, 2), Action(10, 7), Action(2, 9))
    assert actions.texts_of == (("take the plate", "take plate"), ("wash cup and plate",), ("cut bread",))
    assert actions.targets.tolist() == [0, 1]
    assert actions.verb_groups.tolist() == [0, 2, 1]
    assert actions.noun_groups.tolist() == [0, 1, 2]


def test_shifted_sentences_get_their_texts_back(folder: Path) -> None:
    write(folder / TRAIN_SENTENCE_FILE, SENTENCE_HEADER, *SENTENCES, *SHIFTED)
    actions = load_epic_actions(folder)
    texts = dict(zip(actions.classes, actions.texts_of, strict=True))
    assert texts[Action(2, 9)] == ("cut bread",)
    assert texts[Action(58, 21)] == ("sharpening",)
    assert texts[Action(7, 30)] == ("wipe off kitchen towel",)


def test_the_training_clips_go_before_the_sentences(folder: Path) -> None:
    write(folder / TRAIN_FILE, "narration,verb_class,noun_class", "open door,3,3", "open the door,3,3", "open door,3,3")
    write(folder / VALIDATION_FILE, HEADER, CLIPS[0])
    actions = load_epic_actions(folder)
    assert actions.classes == (Action(0, 2), Action(3, 3))
    assert actions.texts_of == (("take plate",), ("open door", "open the door"))


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        (TRAIN_SENTENCE_FILE, ("narration_id,narration,verb,noun_classes,nouns", "a,b,c,[1],d"), "lacks the columns"),
        (TRAIN_SENTENCE_FILE, (SENTENCE_HEADER,), "no row"),
        (TRAIN_SENTENCE_FILE, (SENTENCE_HEADER, "a,b,-1,[1],c,d"), "verb_class is '-1'"),
        (TRAIN_SENTENCE_FILE, (SENTENCE_HEADER, "a,b,1,[],c,d"), r"noun_classes is '\[\]'"),
        (TRAIN_SENTENCE_FILE, (SENTENCE_HEADER, "a, ,1,[1],c,d"), "narration is ' '"),
        (TRAIN_SENTENCE_FILE, (SENTENCE_HEADER, "a,b,1,[1],c,d", "a,b,2,[1],c,towel"), "nouns is 'towel'"),
        (TEST_FILE, (HEADER, CLIPS[0], CLIPS[0]), "line 3: narration_id"),
        (TEST_FILE, (HEADER, CLIPS[0].replace("00:00:02", "00:00:01")), "stop_timestamp"),
        (TEST_FILE, (HEADER, CLIPS[0].replace("00:00:02", "nan")), "a time as"),
        (TEST_FILE, (HEADER,), "no row"),
    ],
)
def test_refuses(folder: Path, file: str, lines: tuple[str, ...], message: str) -> None:
    write(folder / file, *lines)
    with pytest.raises(AnnotationError, match=message):
        load_epic_actions(folder)


def test_names_the_files_it_looked_for(tmp_path: Path) -> None:
    write(tmp_path / TEST_FILE, HEADER, *CLIPS)
    with pytest.raises(NotFoundError, match=f"no {TRAIN_FILE} and no {TRAIN_SENTENCE_FILE} in"):
        load_epic_actions(tmp_path)
