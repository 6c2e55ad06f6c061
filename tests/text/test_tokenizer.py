"""The tokenizer against the reference's ids."""

import json
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.text.tokenizer import PAD_ID, Tokenizer, clip_tokenizer, read_merges, train_tokenizer

TEXTS = [
    f"#C C {verb} the {colour} {noun}"
    for verb in ("opens", "closes", "washes", "picks up", "stirs")
    for colour in ("red", "green", "blue")
    for noun in ("drawer", "knife", "cup", "plate")
]


@pytest.fixture(scope="module")
def clip(shared_dir: Path) -> Tokenizer:
    return clip_tokenizer(shared_dir / "data" / "clip" / "bpe_simple_vocab_16e6.txt.gz")


def padded(ids: list[int], length: int) -> list[int]:
    return ids + [0] * (length - len(ids))


def test_clip_tokenizer_equals_reference(clip: Tokenizer, golden_dir: Path) -> None:
    golden = json.loads((golden_dir / "tokenizer.json").read_text())
    assert (clip.vocab_size, clip.start_id, clip.end_id) == (49408, golden["sot"], golden["eot"])
    rows = clip.encode_batch([sample["text"] for sample in golden["samples"]])
    assert rows.dtype == np.int64
    for sample, row in zip(golden["samples"], rows, strict=True):
        assert row.tolist() == padded(sample["ids"], 77), sample["text"]


def test_clip_tokenizer_reads_back_the_same(clip: Tokenizer) -> None:
    again = Tokenizer.from_json(clip.to_json(), clip.settings())
    texts = ["#C C opens the drawer", "café — naïve", "x" * 500, "<|startoftext|> cup"]
    np.testing.assert_array_equal(again.encode_batch(texts), clip.encode_batch(texts))
    assert again.digest() == clip.digest()


def test_special_token_counts_only_as_a_word_of_its_own(clip: Tokenizer) -> None:
    # the reference's pattern reads "!!<|" first, so that nothing special is left
    glued = clip.encode_batch(["cup!!<|endoftext|> tap"])[0]
    assert (glued == clip.end_id).sum() == 1
    assert (clip.encode_batch(["cup <|endoftext|> tap"])[0] == clip.end_id).sum() == 2


def test_long_text_loses_its_end(clip: Tokenizer) -> None:
    row = clip.encode_batch(["cup " * 200])[0]
    assert row[0] == clip.start_id
    assert clip.end_id not in row
    assert (row != 0).all()


def test_num_tokens_counts_what_a_row_would_need() -> None:
    tokenizer = train_tokenizer(TEXTS, 560, 12)
    texts = ["", "#C C opens the red drawer", "cup " * 40, "cup <|endoftext|> cup", "\u00fc"]
    roomy = Tokenizer.from_json(tokenizer.to_json(), {**tokenizer.settings(), "context_length": 500})
    needed = [int(np.count_nonzero(row != PAD_ID)) for row in roomy.encode_batch(texts)]
    assert tokenizer.num_tokens(texts) == needed
    assert needed[0] == 2
    for row, count in zip(tokenizer.encode_batch(texts), needed, strict=True):
        assert (row[min(count, 12) - 1] == tokenizer.end_id) == (count <= 12)


def test_encode_batch_of_nothing_has_no_rows(clip: Tokenizer) -> None:
    assert clip.encode_batch([]).shape == (0, 77)


def test_train_tokenizer_follows_the_conventions() -> None:
    tokenizer = train_tokenizer(TEXTS, 560, 16)
    assert tokenizer.vocab_size == 560
    assert (tokenizer.start_id, tokenizer.end_id) == (558, 559)
    rows = tokenizer.encode_batch(["Opens  the RED drawer", "zebra & 番茄", ""])
    assert rows.shape == (3, 16)
    assert rows.max() == tokenizer.end_id
    assert rows[2].tolist() == padded([558, 559], 16)
    np.testing.assert_array_equal(rows[0], tokenizer.encode_batch(["opens the red drawer"])[0])


def test_train_tokenizer_gives_the_same_again() -> None:
    # nearly every pair of these is as frequent as some other
    texts = ["stir pour", "pour lift", "lift slide", "slide press", "press open", "open close", "close stir"]
    assert len({train_tokenizer(texts, 560, 16).digest() for _ in range(8)}) == 1


def test_train_tokenizer_has_no_more_tokens_than_its_texts_offer() -> None:
    tokenizer = train_tokenizer(["cup"], 1000, 8)
    assert tokenizer.end_id == tokenizer.vocab_size - 1 < 600
    assert tokenizer.encode_batch(["cup"])[0, 0] == tokenizer.start_id


@pytest.mark.parametrize(("vocab_size", "context_length"), [(513, 16), (600, 1)])
def test_train_tokenizer_refuses_impossible_sizes(vocab_size: int, context_length: int) -> None:
    with pytest.raises(ConfigError, match="at least"):
        train_tokenizer(TEXTS, vocab_size, context_length)


def test_clip_tokenizer_names_the_file_it_misses(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.gz"):
        clip_tokenizer(tmp_path / "nothing.gz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"heading\na b\nthree symbols here\n", "line 3"),
        (b"heading\n", "no merges"),
        (b"\x1f\x8bnot gzip", "not a vocabulary"),
        (b"heading\n\xff\xfe", "not a vocabulary"),
    ],
)
def test_read_merges_refuses_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_merges(path)


def test_clip_tokenizer_refuses_merges_of_unknown_symbols(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.txt"
    path.write_text("heading\nab cd\n")
    with pytest.raises(ConfigError, match="build on one another"):
        clip_tokenizer(path)


def test_from_json_refuses_what_it_did_not_write() -> None:
    tokenizer = train_tokenizer(TEXTS, 560, 16)
    with pytest.raises(CheckpointError, match="cannot be read"):
        Tokenizer.from_json("{", tokenizer.settings())
    with pytest.raises(CheckpointError, match="context_length is None"):
        Tokenizer.from_json(tokenizer.to_json(), {})
    with pytest.raises(CheckpointError, match="settings are"):
        Tokenizer.from_json(tokenizer.to_json(), tokenizer.settings() | {"cleaning": "none"})
