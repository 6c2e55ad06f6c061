"""The repertoires an archive can be made of, by name.

`worktop` is what archives are made of unless they ask for another. To take one away is to take away its files and its
entry here.
"""

from typing import Literal

from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.story import Repertoire
from henasy.scenes.worktop import WORKTOP

RepertoireName = Literal["worktop", "household"]

DEFAULT_REPERTOIRE: RepertoireName = "worktop"
UNNAMED_REPERTOIRE: RepertoireName = "worktop"
"""What archives are made of whose settings name no repertoire: they are from before there were two."""
REPERTOIRES: dict[RepertoireName, Repertoire] = {"worktop": WORKTOP, "household": HOUSEHOLD}
