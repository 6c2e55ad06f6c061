"""Numbers of the papers, in percent, to stand beside a run on the real test sets."""

from typing import NamedTuple


class PublishedRow(NamedTuple):
    """One method's row; None where its source gives no number."""

    method: str
    values: tuple[str | None, ...]
    """Digit for digit as the source prints them; a number would lose trailing zeros."""


# Source: HENASY (NeurIPS 2024), Table 1; its LaViLa row is LaViLa's 16-frame number. The 4-frame row is from
# LaViLa's model zoo, which gives averages only (PROTOCOLS section 1.4), as does the README of EgoNCE++, whose own
# baselines differ a little from these rows.
EK100_MIR_ROWS = (
    PublishedRow("EgoVLP", ("26.0", "20.6", "23.3", "28.8", "27.0", "27.9")),
    PublishedRow("EgoVLPv2", (None, None, "26.7", None, None, "29.1")),
    PublishedRow("LaViLa TSF-B, 4 frames", (None, None, "29.7", None, None, "31.5")),
    PublishedRow("LaViLa TSF-B, 16 frames", ("35.1", "26.6", "30.9", "33.7", "30.4", "32.0")),
    PublishedRow("HelpingHands, re-run", ("35.6", "26.8", "31.2", "34.7", "31.7", "33.2")),
    PublishedRow("EgoVLP++", (None, None, "22.7", None, None, "27.1")),
    PublishedRow("EgoVLPv2++", (None, None, "23.9", None, None, "28.3")),
    PublishedRow("LaViLa++", (None, None, "31.7", None, None, "32.3")),
    PublishedRow("HENASY", ("35.5", "27.1", "31.3", "34.6", "31.7", "33.2")),
)
"""Columns: mAP v2t, t2v, average; nDCG v2t, t2v, average. "++" is trained on with EgoNCE++."""

EGOMCQ_ROWS = (
    PublishedRow("EgoVLP", ("90.6", "57.2")),
    PublishedRow("EgoVLPv2", ("91.0", "60.9")),
    PublishedRow("LaViLa TSF-B", ("93.8", "59.9")),
    PublishedRow("HelpingHands, re-run", ("93.2", "58.8")),
    PublishedRow("HENASY", ("94.1", "61.3")),
)
"""Columns: inter, intra."""

# Source: EgoNCE++ README, table "EgoHOIBench". HENASY and HelpingHands have no number there.
EGOHOI_ROWS = (
    PublishedRow("EgoVLP", ("40.27", "68.6", "30.16")),
    PublishedRow("EgoVLP++", ("56.11", "69.05", "41.63")),
    PublishedRow("EgoVLPv2", ("36.1", "63.4", "26.4")),
    PublishedRow("EgoVLPv2++", ("44.41", "64.1", "32.4")),
    PublishedRow("LaViLa TSF-B", ("46.61", "74.33", "36.85")),
    PublishedRow("LaViLa++", ("80.63", "75.30", "63.17")),
)
"""Columns: verb, noun, action. "++" is trained on with EgoNCE++."""

# Source: HENASY (NeurIPS 2024), Table 6: 200 videos of Ego4D with masks of the authors' own, not published; which
# texts, frames and averages is not said.
GROUNDING_ROWS = (
    PublishedRow("HelpingHands, unpublished masks", ("22.73",)),
    PublishedRow("HENASY, unpublished masks", ("41.06",)),
)
"""Column: mIoU."""

# Source: HENASY (NeurIPS 2024), Table 2, features of each model under VSGN; the EgoVLPv2 row is from the README of
# facebookresearch/EgoVLPv2 EgoMQ, also under VSGN. EgoNCE++ has no number for this task.
EGOMQ_ROWS = (
    PublishedRow("SlowFast, VSGN", (None, None, None, None, None, "6.0", "25.2", "46.2")),
    PublishedRow("EgoVLP, VSGN", (None, None, None, None, None, "11.4", "30.1", "52.0")),
    PublishedRow("EgoVLPv2, VSGN", ("17.58", None, "11.92", None, "6.90", "12.23", None, None)),
    PublishedRow("LaViLa TSF-B, VSGN", (None, None, None, None, None, "11.3", "27.4", "49.0")),
    PublishedRow("HelpingHands, re-run, VSGN", (None, None, None, None, None, "11.7", "27.5", "49.0")),
    PublishedRow("HENASY, VSGN", (None, None, None, None, None, "12.4", "28.3", "51.0")),
)
"""Columns: mAP at tIoU 0.1, 0.2, 0.3, 0.4, 0.5, their mean; Rank 1x and Rank 5x at 0.5."""

# Source: HENASY (NeurIPS 2024), Table 1, which gives actions only. Its text speaks of verb and noun classes, but its
# LaViLa row is the number over 3,806 actions (PROTOCOLS section 3.3). HelpingHands' row is from its arXiv version.
EK100_CLS_ROWS = (
    PublishedRow("LaViLa TSF-B", ("16.4", "34.4", None, None, None, None)),
    PublishedRow("HelpingHands", ("17.3", "35.8", None, None, None, None)),
    PublishedRow("HENASY", ("19.5", "38.2", None, None, None, None)),
)
"""Columns: top-1 and top-5 of actions, verbs, nouns."""

# Source: HENASY (NeurIPS 2024), Table 1. EgoVLP's 17.6 stands there under top-1, but LaViLa's model zoo gives it as
# mean accuracy, and so does this table.
EGTEA_ROWS = (
    PublishedRow("EgoVLP", (None, "17.6")),
    PublishedRow("LaViLa TSF-B", ("35.5", "28.9")),
    PublishedRow("HelpingHands, re-run", ("35.3", "29.4")),
    PublishedRow("HENASY", ("35.9", "29.6")),
)
"""Columns: top-1, mean class accuracy."""

# Source: HENASY (NeurIPS 2024), Table 2, features of each model under a trained VSLNet; its arXiv version gives 6.7 for
# HENASY's R@1 at 0.5. The EgoVLPv2 row is from the README of facebookresearch/EgoVLPv2 EgoNLQ. No row has a mean IoU,
# and EgoNCE++ has no number for this task.
EGONLQ_ROWS = (
    PublishedRow("SlowFast, VSLNet", ("5.5", "10.7", "3.1", "6.6", None)),
    PublishedRow("EgoVLP, VSLNet", ("10.8", "18.8", "6.8", "13.5", None)),
    PublishedRow("EgoVLPv2, VSLNet", ("12.95", "23.80", "7.91", "16.11", None)),
    PublishedRow("LaViLa TSF-B, VSLNet", ("10.5", "19.1", "6.7", "13.6", None)),
    PublishedRow("HelpingHands, re-run, VSLNet", ("11.2", "20.4", "6.9", "14.7", None)),
    PublishedRow("HENASY, VSLNet (R@1 at 0.5: 6.7 in the arXiv version)", ("11.5", "21.5", "7.0", "14.7", None)),
)
"""Columns: R@1, R@5 at IoU 0.3; R@1, R@5 at 0.5; mean IoU."""

# Source: HENASY (NeurIPS 2024), Table 5; two A6000, batch 128 in training; frames, batch and precision of the other
# columns are not said.
COST_ROWS = (
    PublishedRow("HelpingHands", ("530", "216", "38", "4.4", "2.87")),
    PublishedRow("HENASY", ("599", "291", "42", "4.8", "1.02")),
)
"""Columns: GFLOPs per clip, million parameters, GB of GPU memory in training and in inference, seconds of inference."""
