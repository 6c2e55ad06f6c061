"""The kinds of object: what each looks like, and what it can take part in."""

import dataclasses
from collections.abc import Callable

from henasy.scenes.household import provisions, vessels
from henasy.scenes.household.paint import Paint
from henasy.scenes.mesh import Part

Build = Callable[[Paint], list[Part]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object; lengths in decimetres."""

    noun: str
    """The word in narrations"""
    words: tuple[str, ...]
    """Surface words of its taxonomy row"""
    build: Build
    build_lid: Build | None = None
    """The lid at its closed place, of kinds that open"""
    radius: float
    """Reach from the centre on the worktop"""
    grip: float
    """Where a hand takes it, above the worktop"""
    top: float
    """How high it is, without its lid"""
    floor: float | None = None
    """How high something lies in it, of kinds that others are put into"""
    is_small: bool = False
    """Whether it can be put into others"""
    is_vessel: bool = False
    """Whether something in it can be stirred and something poured into it"""
    lip: tuple[float, float] | None = None
    """x and z of where it pours from, of kinds that pour towards -x"""
    has_spout: bool = False
    """Whether it pours with its lid on"""
    is_food: bool = False
    """Whether it can be cut"""
    is_hard: bool = False
    """Whether it can be wiped"""


KINDS: tuple[Kind, ...] = (
    Kind(
        noun="apple",
        words=("apple", "fruit"),
        build=provisions.apple,
        radius=0.85,
        grip=0.9,
        top=1.4,
        is_small=True,
        is_food=True,
    ),
    Kind(
        noun="banana",
        words=("banana", "plantain"),
        build=provisions.banana,
        radius=1.3,
        grip=0.5,
        top=0.8,
        is_small=True,
        is_food=True,
    ),
    Kind(noun="basket", words=("basket", "hamper"), build=vessels.basket, radius=1.25, grip=1.5, top=0.8, floor=0.3),
    Kind(
        noun="bottle",
        words=("bottle", "flask"),
        build=vessels.bottle,
        build_lid=vessels.bottle_cap,
        radius=0.6,
        grip=1.2,
        top=2.5,
        lip=(0.0, 2.55),
        is_hard=True,
    ),
    Kind(
        noun="bowl",
        words=("bowl", "dish"),
        build=vessels.bowl,
        radius=1.25,
        grip=0.7,
        top=1.0,
        floor=0.35,
        is_vessel=True,
        is_hard=True,
    ),
    Kind(
        noun="box",
        words=("box", "crate"),
        build=vessels.crate,
        build_lid=vessels.crate_lid,
        radius=1.15,
        grip=0.8,
        top=1.1,
        is_hard=True,
    ),
    Kind(noun="bread", words=("bread", "loaf"), build=provisions.bread, radius=1.3, grip=0.9, top=1.3, is_food=True),
    Kind(
        noun="broccoli",
        words=("broccoli", "cauliflower"),
        build=provisions.broccoli,
        radius=0.95,
        grip=0.9,
        top=1.7,
        is_small=True,
        is_food=True,
    ),
    Kind(
        noun="carrot",
        words=("carrot", "parsnip"),
        build=provisions.carrot,
        radius=1.3,
        grip=0.5,
        top=0.9,
        is_small=True,
        is_food=True,
    ),
    Kind(
        noun="carton",
        words=("carton", "milk"),
        build=vessels.carton,
        build_lid=vessels.carton_cap,
        radius=0.85,
        grip=1.1,
        top=2.5,
        lip=(0.0, 2.1),
        is_hard=True,
    ),
    Kind(
        noun="cheese",
        words=("cheese", "cheddar"),
        build=provisions.cheese,
        radius=1.0,
        grip=0.7,
        top=0.95,
        is_small=True,
        is_food=True,
    ),
    Kind(
        noun="glass",
        words=("glass", "goblet"),
        build=vessels.glass,
        radius=0.75,
        grip=1.2,
        top=2.0,
        is_vessel=True,
        lip=(-0.7, 2.0),
        is_hard=True,
    ),
    Kind(
        noun="jar",
        words=("jar", "canister"),
        build=vessels.jar,
        build_lid=vessels.jar_lid,
        radius=0.85,
        grip=0.9,
        top=1.5,
        is_hard=True,
    ),
    Kind(
        noun="jug",
        words=("jug", "pitcher"),
        build=vessels.jug,
        radius=0.95,
        grip=1.2,
        top=2.1,
        is_vessel=True,
        lip=(-0.98, 2.2),
        is_hard=True,
    ),
    Kind(
        noun="kettle",
        words=("kettle", "teapot"),
        build=vessels.kettle,
        build_lid=vessels.kettle_lid,
        radius=1.15,
        grip=1.0,
        top=1.9,
        lip=(-1.5, 1.35),
        has_spout=True,
        is_hard=True,
    ),
    Kind(noun="knife", words=("knife", "blade"), build=provisions.knife, radius=1.3, grip=0.3, top=0.4),
    Kind(noun="mill", words=("mill", "grinder"), build=vessels.mill, radius=0.6, grip=1.0, top=2.4, is_hard=True),
    Kind(
        noun="mug",
        words=("mug", "cup"),
        build=vessels.mug,
        radius=0.95,
        grip=0.9,
        top=1.45,
        is_vessel=True,
        lip=(-0.76, 1.45),
        is_hard=True,
    ),
    Kind(
        noun="pan",
        words=("pan", "skillet"),
        build=vessels.pan,
        radius=1.35,
        grip=0.5,
        top=0.5,
        floor=0.12,
        is_vessel=True,
        is_hard=True,
    ),
    Kind(
        noun="pineapple",
        words=("pineapple", "ananas"),
        build=provisions.pineapple,
        radius=0.85,
        grip=1.0,
        top=2.4,
        is_food=True,
    ),
    Kind(
        noun="plate",
        words=("plate", "saucer"),
        build=vessels.plate,
        radius=1.5,
        grip=0.35,
        top=0.3,
        floor=0.14,
        is_hard=True,
    ),
    Kind(
        noun="pot",
        words=("pot", "saucepan"),
        build=vessels.pot,
        build_lid=vessels.pot_lid,
        radius=1.3,
        grip=1.0,
        top=1.25,
        floor=0.4,
        is_vessel=True,
        is_hard=True,
    ),
    Kind(
        noun="sponge",
        words=("sponge", "scrubber"),
        build=provisions.sponge,
        radius=0.95,
        grip=0.55,
        top=0.7,
        is_small=True,
    ),
    Kind(
        noun="spoon",
        words=("spoon", "ladle"),
        build=provisions.spoon,
        radius=1.3,
        grip=0.3,
        top=0.35,
    ),
)
"""Every kind, in the order of the noun taxonomy."""

KIND_OF: dict[str, Kind] = {kind.noun: kind for kind in KINDS}
