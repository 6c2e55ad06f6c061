"""Verbs in "-ing" form against a table written by hand."""

import csv
from pathlib import Path

import pytest

from henasy.text.gerund import action_phrase, gerund

FORMS = """
take taking|cut cutting|put putting|stir stirring|open opening|cover covering|tie tying|lie lying|see seeing
knee kneeing|dye dyeing|singe singeing|arrange arranging|change changing|mix mixing|mow mowing|sew sewing|play playing
carry carrying|unplug unplugging|unzip unzipping|unroll unrolling|loosen loosening|pick picking|scrub scrubbing
squeeze squeezing|slice slicing|knit knitting|grip gripping|water watering|enter entering|iron ironing|peel peeling
scoop scooping|drop dropping|dig digging|wrap wrapping|pat patting|be being|use using|dip dipping|clean cleaning
read reading|remove removing|repair repairing|sit sitting|swing swinging|step stepping
shuffle shuffling|picks picking|took taking|cuts cutting|washes washing|carries carrying|fixes fixing
crochets crocheting
presses pressing|opened opening|holding holding|swings swinging
transfers transferring|refer referring|focus focusing|weld welding|quit quitting|hang hanging|blow blowing
"""


@pytest.mark.parametrize("pair", FORMS.replace("\n", "|").strip("|").split("|"))
def test_gerund_of_a_table(pair: str) -> None:
    verb, expected = pair.split()
    assert gerund(verb) == expected


def test_gerund_changes_the_first_word_alone() -> None:
    assert gerund("turn off") == "turning off"
    assert gerund(" picks up the cup ") == "picking up the cup"
    assert gerund("") == ""


def test_gerund_of_gerund_is_itself_for_every_verb_of_the_taxonomy(shared_dir: Path) -> None:
    with (shared_dir / "data" / "ego4d" / "narration_verb_taxonomy.csv").open(newline="") as stream:
        verbs = [row["label"].split("_(")[0].replace("_", " ") for row in csv.DictReader(stream)]
    for verb in verbs[:118]:
        assert gerund(verb).split()[0].endswith("ing"), verb
        assert gerund(gerund(verb)) == gerund(verb), verb


def test_action_phrase_names_the_first_object() -> None:
    assert action_phrase("take", ["cup", "table"]) == "taking the cup"
    assert action_phrase("turn on", ["tap"]) == "turning on the tap"
    assert action_phrase("walk", []) == "walking"
    assert action_phrase("", ["cup"]) == ""
