"""BERT's uncased tokenizer, over the `tokenizers` library: strings in, rows of token ids out.

A row is [CLS] + word pieces + [SEP], padded with 0; a text that is too long keeps its [SEP], as the reference cuts it.

Source: google-research/bert tokenization.py (the rules); showlab/EgoVLP run/train_egoclip.py (padding, truncation).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, normalizers, pre_tokenizers

from henasy.errors import CheckpointError, ConfigError, NotFoundError

CLEANING = "bert-uncased"
PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
PAD_ID = 0
VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")
_LONGEST_WORD = 100


class WordPieceTokenizer:
    """Strings to token ids."""

    def __init__(self, pieces: tokenizers.Tokenizer, *, context_length: int) -> None:
        """Wraps a word-piece model.

        Raises:
            ConfigError: the context cannot hold first and last token, or the vocabulary lacks a special one.
        """
        if context_length < 2:
            raise ConfigError(f"context_length is {context_length}; it must hold {FIRST} and {LAST}, at least 2")
        ids = {token: pieces.token_to_id(token) for token in (PAD, UNKNOWN, FIRST, LAST)}
        first, last = ids[FIRST], ids[LAST]
        if ids[UNKNOWN] is None or first is None or last is None or ids[PAD] != PAD_ID:
            raise ConfigError(f"the vocabulary has {ids}; all must be there, {PAD} with id {PAD_ID}")
        self._pieces = pieces
        self.context_length = context_length
        self._first: int = first
        self._last: int = last

    @property
    def vocab_size(self) -> int:
        """Rows that a token embedding needs."""
        size: int = self._pieces.get_vocab_size()
        return size

    def encode_batch(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(N, context_length) int64 token ids, one row per text."""
        rows = np.full((len(texts), self.context_length), PAD_ID, dtype=np.int64)
        for row, encoding in zip(rows, self._encoded(texts), strict=True):
            kept = encoding.ids[: self.context_length - 2]
            row[: len(kept) + 2] = np.array([self._first, *kept, self._last])
        return rows

    def num_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with first and last, however many; what is beyond `context_length` is cut."""
        return [len(encoding.ids) + 2 for encoding in self._encoded(texts)]

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) tokens of each row of `encode_batch`, the last included."""
        lengths: NDArray[np.int64] = (rows != PAD_ID).sum(axis=1)
        return lengths

    def _encoded(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        encoded: list[tokenizers.Encoding] = self._pieces.encode_batch(list(texts), add_special_tokens=False)
        return encoded

    def to_json(self) -> str:
        """The vocabulary in the format of the `tokenizers` library."""
        text: str = self._pieces.to_str()
        return text

    def settings(self) -> dict[str, int | str]:
        """What `to_json` cannot say: how texts are cleaned, cut and filled."""
        return {
            "cleaning": CLEANING,
            "context_length": self.context_length,
            "first_token": FIRST,
            "last_token": LAST,
            "pad_id": PAD_ID,
        }

    @classmethod
    def from_json(cls, vocabulary: str, settings: dict[str, int | str]) -> Self:
        """The tokenizer that `to_json` and `settings` describe.

        Raises:
            CheckpointError: either is not what this class writes.
        """
        context_length = settings.get("context_length")
        if type(context_length) is not int:
            raise CheckpointError(f"the tokenizer's context_length is {context_length!r}; it must be a whole number")
        try:
            tokenizer = cls(_word_pieces(_stored_vocabulary(vocabulary)), context_length=context_length)
        except ValueError as error:
            raise CheckpointError(f"the tokenizer's vocabulary cannot be read: {error}") from error
        if settings != tokenizer.settings():
            raise CheckpointError(f"the tokenizer's settings are {settings}; this version knows {tokenizer.settings()}")
        return tokenizer

    def digest(self) -> str:
        """Hex SHA-256 of everything that decides which ids a text gets."""
        content = {"vocabulary": json.loads(self.to_json()), "settings": self.settings()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_word_pieces(folder: Path, *, context_length: int) -> WordPieceTokenizer:
    """The tokenizer of a folder as the Hugging Face hub has them, e.g. that of distilbert-base-uncased.

    Args:
        folder: holds tokenizer.json or vocab.txt.
        context_length: tokens per row.

    Raises:
        NotFoundError: the folder holds neither.
        ConfigError: the file is no vocabulary of lower-case word pieces.
    """
    path = next((folder / name for name in VOCABULARY_FILES if (folder / name).is_file()), None)
    if path is None:
        raise NotFoundError(f"{folder} holds neither {VOCABULARY_FILES[0]} nor {VOCABULARY_FILES[1]}")
    try:
        text = path.read_text(encoding="utf-8")
        vocabulary = _stored_vocabulary(text) if path.suffix == ".json" else _listed_vocabulary(text)
        return WordPieceTokenizer(_word_pieces(vocabulary), context_length=context_length)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


def _stored_vocabulary(text: str) -> dict[str, int]:
    """The vocabulary inside a tokenizer.json."""
    content = json.loads(text)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict) or "merges" in model:
        raise ValueError("is no word-piece tokenizer, such as distilbert-base-uncased has")
    normalizer = content.get("normalizer")
    if isinstance(normalizer, dict) and normalizer.get("lowercase") is False:
        raise ValueError("keeps capital letters; EgoVLP reads lower case, as distilbert-base-uncased does")
    return dict(model["vocab"])


def _listed_vocabulary(text: str) -> dict[str, int]:
    """The vocabulary of a vocab.txt, one piece per line."""
    pieces = text.split("\n")
    return {piece.rstrip("\r"): number for number, piece in enumerate(pieces[:-1] if pieces[-1] == "" else pieces)}


def _word_pieces(vocabulary: dict[str, int]) -> tokenizers.Tokenizer:
    if sorted(vocabulary.values()) != list(range(len(vocabulary))) or UNKNOWN not in vocabulary:
        raise ValueError(f"{len(vocabulary)} word pieces must have the ids 0, 1, ... and hold {UNKNOWN}")
    model = models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)
    pieces = tokenizers.Tokenizer(model)
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return pieces
