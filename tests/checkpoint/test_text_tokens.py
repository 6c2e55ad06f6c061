"""Tokens of a text in the joint space: the end token is the text's embedding, whatever else is in the batch."""

import numpy as np
import pytest

from henasy.checkpoint.encoder import Encoder, load_encoder

TEXTS = ["putting down the mug", "where did I put the jar?", "mug"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("henasy-tiny")


def test_the_last_token_is_the_text(encoder: Encoder) -> None:
    tokens = encoder.encode_text_tokens(TEXTS)
    whole = encoder.encode_texts(TEXTS, is_normalised=False)
    assert [len(one) + 1 for one in tokens] == encoder.num_text_tokens(TEXTS)
    np.testing.assert_allclose(np.stack([one[-1] for one in tokens]), whole, rtol=1e-4, atol=1e-5)


def test_tokens_do_not_depend_on_their_company(encoder: Encoder) -> None:
    together = encoder.encode_text_tokens(TEXTS)
    for text, tokens in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(encoder.encode_text_tokens([text])[0], tokens, rtol=1e-4, atol=1e-5)


def test_a_token_knows_only_what_came_before(encoder: Encoder) -> None:
    short, long = encoder.encode_text_tokens(["putting down", "putting down the mug"])
    np.testing.assert_allclose(short[:2], long[:2], rtol=1e-4, atol=1e-5)


def test_long_texts_are_cut(encoder: Encoder) -> None:
    assert len(encoder.encode_text_tokens(["the mug " * 100])[0]) == encoder.max_text_tokens - 1
