"""Word lists for finding phrases: what people do with their hands on first-person video, and the small words."""

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


VERBS = _set(
    """
    activate add adjust apply arrange assemble attach beat bend blend boil break bring brush build bury butter
    button carry catch change check chop clap clean clear climb close coat collect come compress conceal connect cook
    cool count cover crack crumple crush cut deconstruct demonstrate detach dice dig dip discard disconnect
    dismantle distribute divide drag drain draw drill drink drive drop dry dump eat empty enter erase
    examine extract fasten feed fetch fill filter find fix flatten flip flush fold form fry gather get give go
    grab grate grease grill grind grip hammer hang have heat hide hit hold increase inflate insert inspect iron
    jiggle join juggle juice jump kick knead knit knock lather lay lean leave let lift light listen load lock
    look loosen lower make mark mash measure melt mix mop move mow nail observe open operate pack paint pass
    paste pat peel pet pick pierce pile pin place plant play plug point polish position pour prepare press prune pull
    pump punch push put raise rake reach read rearrange receive recline refill regulate release remove repair
    replace rest retrieve return ride rinse rip rise roast roll rotate rub run sand saw scan scatter scoop scrape
    scratch screw scroll scrub search season see select separate serve set sew shake shape sharpen shift shove shovel
    show shut sieve sift sip sit slice slide smell smooth sniff soak sort spin split spray spread sprinkle
    squeeze stack stand staple start step stick stir stop store straighten strain stretch stroll study suck swap sweep
    swing swipe swirl switch take talk tap taste tear test throw tidy tie tighten tilt tip toss touch transfer
    transport trim try tuck turn twist type unclog uncover unfold unfreeze unload unlock unpack unroll unscrew untie
    unwrap use vacuum wait walk wash watch water wave wear weigh wet whisk wipe withdraw wrap write zip
    """
)
IRREGULAR_FORMS = {
    "ate": "eat", "broke": "break", "broken": "break", "brought": "bring", "came": "come", "caught": "catch",
    "drank": "drink", "dug": "dig", "found": "find", "gone": "go", "went": "go", "drew": "draw",
    "drawn": "draw", "fed": "feed", "gave": "give", "given": "give", "got": "get", "had": "have", "has": "have",
    "having": "have", "held": "hold", "hung": "hang", "laid": "lay", "left": "leave", "lit": "light",
    "lying": "lie", "made": "make", "ran": "run", "sat": "sit", "saw": "see", "seen": "see", "shook": "shake",
    "stood": "stand", "stuck": "stick", "swept": "sweep", "threw": "throw", "thrown": "throw", "took": "take",
    "taken": "take", "tore": "tear", "torn": "tear", "tying": "tie", "wore": "wear", "wrote": "write",
}  # fmt: skip
# their participle is their base form
UNCHANGED = _set("put cut hit set shut spread split rip read beat come")
_THIRD_PERSON = {"have": "has", "be": "is"}
DETERMINERS = _set(
    "a an the this that these those his her its their our your my some any another each every both all no one two "
    "three four five six seven eight nine ten several many few"
)
PRONOUNS = _set("i he she they it we you him them me us himself herself itself who someone c x y")
PREPOSITIONS = _set(
    "about above across against along among around at before behind below beneath beside between beyond by during for "
    "from in inside into near of off on onto out outside over through to toward towards under underneath up upon via "
    "with within without down away back together apart aside"
)
PARTICLES = _set("up down on off out in away back over around together apart aside")
# subjects that have no other use
SUBJECTS = _set("i he she they we you who someone")
SEPARATORS = _set("and then while as or but after before when where so")
COORDINATORS = _set("and or ,")
AUXILIARIES = _set(
    "is are was were be been being am do does did will would could should not want wants wanted need needs"
)
PERFECT = _set("has have had having")
QUESTION_WORDS = _set("what which whose how why")
ADVERBS = _set(
    "again still also just now here there very well please continue continues keep keeps "
    "closer further farther nearer forward forwards backward backwards sideways upward upwards downward downwards "
    "inward inwards outward outwards clockwise counterclockwise anticlockwise upstairs downstairs straight halfway"
)
_MIN_LY = 5
# words in -ly that are no adverbs
LY_WORDS = _set(
    "assembly belly bubbly bully butterfly curly doily dolly family fly friendly gully holly jelly lily lovely "
    "oily ply reply silly smelly sticky supply trolly ugly wobbly woolly"
)
# what a thing is like at the end of the action: "wipes the table clean"
RESULTS = _set(
    "open closed shut clean dirty dry wet flat empty full tight loose hard soft smooth thin thick fine small warm "
    "hot cold white black red green blue yellow brown grey gray pink purple"
)
DEGREES = _set("very more too really")
# a word that belongs to a preposition of several words, by the word after it and the words it may follow
JOINED_BEFORE = {"next": "to", "close": "to", "instead": "of"}
JOINED_BETWEEN = {"top": ("on", "of"), "front": ("in", "of")}
JOINED_AFTER = {"half": "in", "left": "the", "right": "the"}
ADJECTIVE_LIKE = _set("left dry wet clean open empty broken torn given clear cool light smooth")
# known verbs that, standing alone, rather name a thing
ALSO_NOUNS = _set(
    "brush butter button change cook cover drain drill drink fold glue grater grill hammer heat hide iron juice knock "
    "light lock mark mop nail paint paste peel pile pin plant plug polish position pump rake rest saw screw shovel "
    "sieve spray staple stick store study swing switch tap tape tear tie tip transport vacuum water wave whisk"
)
# words in -ing that name things, and things whose name begins with such a word
ING_NOUNS = _set(
    "building ceiling clothing dressing earring filling frosting icing king morning nothing painting pudding railing "
    "ring seasoning something spring stuffing thing topping wing wiring string"
)
ING_COMPOUNDS = {
    "chopping": "board block", "cutting": "board mat", "washing": "machine liquid powder basin", "frying": "pan",
    "rolling": "pin", "mixing": "bowl", "measuring": "cup tape jug spoon", "baking": "tray sheet powder soda paper",
    "cooking": "pot oil pan", "serving": "spoon plate bowl", "cleaning": "cloth spray", "drying": "rack",
    "sewing": "machine", "knitting": "needle", "drinking": "glass", "sanding": "paper", "watering": "can",
}  # fmt: skip


def verb_of(word: str) -> str | None:
    """The base form of a lower-case word if it is a form of a known verb."""
    if word in VERBS:
        return word
    if word in IRREGULAR_FORMS:
        return IRREGULAR_FORMS[word]
    return next((base for base in _bases(word) if base in VERBS), None)


def third_person(base: str) -> str:
    """The third person of a verb's base form: "open" gives "opens"."""
    if base in _THIRD_PERSON:
        return _THIRD_PERSON[base]
    if re.search(r"(s|x|z|ch|sh|o)$", base):
        return base + "es"
    return base[:-1] + "ies" if re.search(r"[^aeiou]y$", base) else base + "s"


def is_inflected(word: str) -> bool:
    """Whether a lower-case word is a known verb's form other than the base."""
    return word not in VERBS and verb_of(word) is not None


def is_adverb(word: str) -> bool:
    """Whether a lower-case word says how, where to or how often something is done."""
    return word in ADVERBS or (word.endswith("ly") and len(word) >= _MIN_LY and word not in LY_WORDS)


def is_participle(word: str) -> bool:
    """Whether a lower-case word can follow "has": "opened", "taken", "put"."""
    has_form = word.endswith(("ed", "en")) or word in IRREGULAR_FORMS or word in UNCHANGED
    return has_form and verb_of(word) is not None


def is_ing_compound(word: str, following: str) -> bool:
    """Whether two words name a thing, as "cutting board" does."""
    return following.removesuffix("s") in ING_COMPOUNDS.get(word, "").split()


def _bases(word: str) -> list[str]:
    """What a regular verb form can come from."""
    for suffix in ("ing", "ed"):
        if word.endswith(suffix) and len(word) > len(suffix) + 1:
            stem = word.removesuffix(suffix)
            undoubled = [stem[:-1]] if re.search(r"([b-df-hj-np-tv-z])\1$", stem) else []
            with_y = [stem[:-1] + "y"] if suffix == "ed" and stem.endswith("i") else []
            return [stem, stem + "e", *undoubled, *with_y]
    if word.endswith("ies"):
        return [word[:-3] + "y", word[:-1]]
    if word.endswith("es"):
        return [word[:-2], word[:-1]]
    return [word[:-1]] if word.endswith("s") else []
