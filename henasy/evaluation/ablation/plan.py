"""What is ablated: the nine distinct rows of the paper's Tables 3 and 4, and what the paper claims of them.

Two readings of the complete row stand beside it, which cost no training: the first stage alone, whose clip embedding
every model still yields, and the mean of both.

Every row keeps all else equal: one first stage, one budget, the same batches. Boxes, and what they are called, are
known only where the projection loss is on: they guide the matching of nouns there, and their names are nouns of the
clip; so "with L_proj" is with all that boxes tell. Nouns take part in matching boxes only where the noun-entity loss is
on. Entity choice, which the paper lacks, is off everywhere.

Source: HENASY section 5.4, Tables 3 and 4; designs as PROTOCOLS section 5.2 settles them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from henasy.losses.total import LossWeights
from henasy.model.assemblies import AVERAGE_POOL, COMPLETE, SELF_DECODER, WITHOUT_BOOTSTRAP, table_4
from henasy.model.config import HenasyConfig

JOINT_MATCHING = 2.0
"""Weight of boxes against the cosine where nouns and boxes are matched at once."""
_BOXES_ALONE = 1e3
_COSINE_ALONE = 0.0

INTER, INTRA, MAP, NDCG, TOP1, TOP5 = "EgoMCQ inter", "EgoMCQ intra", "mAP", "nDCG", "top-1", "top-5"
PAPER_MEASURES = (INTER, INTRA, MAP, NDCG, TOP1, TOP5)
"""The columns of Tables 3 and 4."""
NOUN_TEXT, NOUN_ORACLE = "object mask, text-chosen", "object mask, oracle"
HAND_TEXT, HAND_ORACLE = "hand mask, text-chosen", "hand mask, oracle"
MASK_MEASURES = (NOUN_TEXT, NOUN_ORACLE, HAND_TEXT, HAND_ORACLE)
MEASURES = (*PAPER_MEASURES, *MASK_MEASURES)
COMPONENTS: dict[str, tuple[str, ...]] = {
    **{measure: (measure,) for measure in MEASURES},
    MAP: ("mAP V-T", "mAP T-V"),
    NDCG: ("nDCG V-T", "nDCG T-V"),
}
"""What a measure is the plain mean of."""


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """One row of Table 3 or 4."""

    key: str
    """Name of its folder."""
    label: str
    design: str = COMPLETE
    """Its name in Table 4."""
    weights: LossWeights
    box_weight: float = JOINT_MATCHING
    """Weight of boxes against the cosine when nouns meet entities."""
    paper: Mapping[str, float]
    """The paper's numbers by measure, in percent."""

    @property
    def measures(self) -> tuple[str, ...]:
        """What it can be asked: without a loss of words the map of entities into the joint space is never trained."""
        has_words = self.weights.noun_entity > 0 or self.weights.verb_entities > 0
        return MEASURES if has_words else tuple(name for name in MEASURES if name not in (NOUN_TEXT, HAND_TEXT))

    @property
    def has_boxes(self) -> bool:
        """Whether it learns from boxes and their names."""
        return self.weights.projection > 0

    def config(self, complete: HenasyConfig) -> HenasyConfig:
        """The row's model at the sizes of the complete one."""
        return table_4(complete)[self.design]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A row's models with another clip embedding: its own and the first stage's, weighed."""

    key: str
    label: str
    of: str
    """Key of the row whose models are read."""
    global_share: float
    """How much of the clip embedding is the first stage's (`henasy.model.fusion.fused`); 1 is that alone."""
    measures: tuple[str, ...] = MEASURES
    paper: Mapping[str, float]
    """The paper's numbers by measure, in percent; none if it lacks the reading."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The paper says that one row is better than another."""

    key: str
    text: str
    better: str
    """Key of the row that is said to be better."""
    worse: str
    measures: tuple[str, ...] = PAPER_MEASURES
    """Those of which it is said; the verdict is about their mean."""
    is_of_table_4: bool = False
    """Whether the complete settings are compared as Tables 1 and 4 print them."""

    def paper_gain(self, measures: Sequence[str]) -> float | None:
        """The paper's own difference, mean over measures, a fraction; None where it has no such number."""
        better = COMPLETE_IN_TABLE_4 if self.is_of_table_4 else ENTRY_OF[self.better].paper
        worse = ENTRY_OF[self.worse].paper
        if any(measure not in better or measure not in worse for measure in measures):
            return None
        return sum(better[measure] - worse[measure] for measure in measures) / len(measures) / 100


def _weights(*, nec: bool = False, vec: bool = False, projection: bool = False) -> LossWeights:
    full = LossWeights()
    return LossWeights(
        noun_entity=full.noun_entity * nec,
        verb_entities=full.verb_entities * vec,
        projection=full.projection * projection,
        entity_choice=0.0,
    )


def _paper(*values: float) -> dict[str, float]:
    return dict(zip(PAPER_MEASURES, values, strict=True))


_ALL_LOSSES = _weights(nec=True, vec=True, projection=True)

ROWS: tuple[AblationRow, ...] = (
    AblationRow(
        key="ego",
        label="L_ego",
        weights=_weights(),
        box_weight=_COSINE_ALONE,
        paper=_paper(93.4, 58.4, 30.8, 32.7, 18.2, 36.8),
    ),
    AblationRow(
        key="ego-nec",
        label="L_ego + L_NEC",
        weights=_weights(nec=True),
        box_weight=_COSINE_ALONE,
        paper=_paper(93.6, 59.9, 30.9, 32.8, 19.1, 37.5),
    ),
    AblationRow(
        key="ego-vec",
        label="L_ego + L_VEC",
        weights=_weights(vec=True),
        box_weight=_COSINE_ALONE,
        paper=_paper(93.7, 59.7, 31.1, 32.9, 18.9, 37.3),
    ),
    AblationRow(
        key="ego-proj",
        label="L_ego + L_proj",
        weights=_weights(projection=True),
        box_weight=_BOXES_ALONE,
        paper=_paper(93.2, 58.5, 30.8, 32.6, 18.5, 37.0),
    ),
    AblationRow(
        key="ego-nec-vec",
        label="L_ego + L_NEC + L_VEC",
        weights=_weights(nec=True, vec=True),
        box_weight=_COSINE_ALONE,
        paper=_paper(94.0, 61.1, 31.3, 33.0, 19.3, 37.7),
    ),
    AblationRow(
        key="complete",
        label="complete settings",
        weights=_ALL_LOSSES,
        paper=_paper(94.1, 61.3, 31.3, 33.1, 19.3, 38.2),
    ),
    AblationRow(
        key="avg-pool",
        label="w/ avg. pool",
        design=AVERAGE_POOL,
        weights=_ALL_LOSSES,
        paper=_paper(87.6, 47.9, 18.8, 25.5, 6.7, 18.1),
    ),
    AblationRow(
        key="sa-decoder",
        label="w/ SA dec.",
        design=SELF_DECODER,
        weights=_ALL_LOSSES,
        paper=_paper(93.3, 59.1, 30.4, 32.8, 18.0, 36.3),
    ),
    AblationRow(
        key="no-bootstrap",
        label="w/o bootstrap",
        design=WITHOUT_BOOTSTRAP,
        weights=_ALL_LOSSES,
        paper=_paper(92.6, 59.2, 31.1, 32.6, 19.2, 37.9),
    ),
)
"""Six rows of Table 3 and three of Table 4, whose fourth, "complete settings", is the last of Table 3."""

COMPLETE_IN_TABLE_4 = _paper(94.1, 61.3, 31.3, 33.2, 19.5, 38.2)
"""The same model as Tables 1 and 4 print it: nDCG and top-1 differ."""

READINGS: tuple[Reading, ...] = (
    Reading(
        key="first-stage",
        label="the first stage alone",
        of="complete",
        global_share=1.0,
        measures=PAPER_MEASURES,
        paper=_paper(93.8, 59.9, 30.9, 32.0, 16.4, 34.4),
    ),
    Reading(
        key="complete-mean",
        label="complete settings, mean with the first stage",
        of="complete",
        global_share=0.5,
        paper={},
    ),
)
"""The first is LaViLa in the paper, printed in Table 1. A first stage has no entities and no masks."""

ROW_OF: dict[str, AblationRow] = {row.key: row for row in ROWS}
ENTRY_OF: dict[str, AblationRow | Reading] = {READINGS[0].key: READINGS[0], **ROW_OF, READINGS[1].key: READINGS[1]}
"""Whatever has scores, in the order of the table."""

_RETRIEVAL = (INTER, INTRA, MAP, NDCG)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        key="losses",
        text="trained with L_ego alone, 1-2 % lower across all benchmarks than with all losses",
        better="complete",
        worse="ego",
    ),
    Claim(key="nec", text="L_NEC adds to L_ego (Table 3)", better="ego-nec", worse="ego"),
    Claim(key="vec", text="L_VEC adds to L_ego (Table 3)", better="ego-vec", worse="ego"),
    Claim(
        key="vec-over-nec",
        text="L_VEC contributes slightly more than L_NEC in EgoMCQ and EK100-MIR",
        better="ego-vec",
        worse="ego-nec",
        measures=_RETRIEVAL,
    ),
    Claim(key="proj-alone", text="L_proj alone adds to L_ego (Table 3)", better="ego-proj", worse="ego"),
    Claim(key="both-over-nec", text="L_VEC adds to L_ego + L_NEC (Table 3)", better="ego-nec-vec", worse="ego-nec"),
    Claim(key="both-over-vec", text="L_NEC adds to L_ego + L_VEC (Table 3)", better="ego-nec-vec", worse="ego-vec"),
    Claim(
        key="projection",
        text="L_proj slightly improves the overall performance",
        better="complete",
        worse="ego-nec-vec",
    ),
    Claim(
        key="decoder",
        text="average pooling in place of the entity-aware decoder: a notable decline across all benchmarks",
        better="complete",
        worse="avg-pool",
        is_of_table_4=True,
    ),
    Claim(
        key="decoder-design",
        text="a self-attention decoder in its place: about 2 % lower across benchmarks",
        better="complete",
        worse="sa-decoder",
        is_of_table_4=True,
    ),
    Claim(
        key="bootstrap",
        text="without the bootstrapping stage: 1 % lower across all benchmarks",
        better="complete",
        worse="no-bootstrap",
        is_of_table_4=True,
    ),
    Claim(
        key="projection-masks",
        text="(not in the paper's tables) L_proj makes entities cover objects and hands",
        better="complete",
        worse="ego-nec-vec",
        measures=MASK_MEASURES,
    ),
    Claim(
        key="first-stage",
        text="HENASY is better than the encoder that it stands on (Table 1: LaViLa)",
        better="complete",
        worse="first-stage",
        is_of_table_4=True,
    ),
    Claim(
        key="mean-over-first-stage",
        text="(not in the paper) the mean of HENASY and the encoder that it stands on is better than that encoder",
        better="complete-mean",
        worse="first-stage",
    ),
    Claim(
        key="mean-over-complete",
        text="(not in the paper) the same mean is better than HENASY",
        better="complete-mean",
        worse="complete",
    ),
)
