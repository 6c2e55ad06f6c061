"""EgoNLQ's questions put to the project's moment search, with nothing trained for them."""

from collections.abc import Mapping, Sequence

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.annotations.egonlq import NlqQuery
from henasy.evaluation.encoding.clip_features import text_evidence
from henasy.evaluation.span_tasks.nlq_features import NlqFeatures
from henasy.evaluation.span_tasks.nlq_predictions import Predictions
from henasy.search.moments import MomentRule, find_moments
from henasy.text.wording import Wording, mean_direction, texts_of

NUM_SPANS = 5
"""What R@5 looks at. They are disjoint, as hits are: letting them overlap gained nothing on training scenes."""


def search_moments(
    queries: Sequence[NlqQuery], features: Mapping[str, NlqFeatures], encoder: Encoder, wording: Wording
) -> Predictions:
    """At most five spans for every question, best first.

    Args:
        queries: questions about clips that have features.
        features: L2-normalised embeddings of the encoder's space.
        encoder: of the texts.
        wording: how a question is put to it.
    """
    rule = MomentRule(max_moments=NUM_SPANS)
    texts = [texts_of(query.text or "", wording) for query in queries]
    vectors = encoder.encode_texts([text for each in texts for text in each])
    found: Predictions = {}
    first = 0
    for query, each in zip(queries, texts, strict=True):
        vector = mean_direction(vectors[first : first + len(each)])
        first += len(each)
        clip = features[query.key.clip_uid]
        scores = text_evidence(clip.features, clip.entities, clip.is_valid, vector)
        starts_s, ends_s = clip.spans[:, 0], clip.spans[:, 1]
        found[query.key] = find_moments(starts_s, ends_s, scores, vectors=clip.features, rule=rule).spans
    return found
