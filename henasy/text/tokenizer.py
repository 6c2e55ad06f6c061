"""CLIP's tokenizer, over the `tokenizers` library: strings in, rows of token ids out.

A row is [start] + byte-pair tokens + [end], padded with 0 and cut at the context length. Cutting loses the end token;
the text tower then pools at the largest id that is left, as the reference does.

Source: LaViLa lavila/models/tokenizer.py.
"""

import gzip
import hashlib
import html
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import ftfy
import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import Regex, models, pre_tokenizers, trainers

from henasy.errors import CheckpointError, ConfigError, NotFoundError

CLIP_VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"
CLIP_CONTEXT_LENGTH = 77
CLIP_NUM_MERGES = 49152 - 256 - 2
START, END = "<|startoftext|>", "<|endoftext|>"
PAD_ID = 0
END_OF_WORD = "</w>"
# single bytes, single bytes that end a word, start and end token
NUM_FIXED_TOKENS = 2 * 256 + 2
_WORDS = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")


class Tokenizer:
    """Strings to token ids; `end_id` is the largest id, which is how the text tower finds the end of a text."""

    def __init__(self, bpe: tokenizers.Tokenizer, *, context_length: int) -> None:
        """Wraps a byte-pair model.

        Raises:
            ConfigError: the context cannot hold start and end, or the end token is not the last of the vocabulary.
        """
        if context_length < 2:
            raise ConfigError(f"context_length is {context_length}; it must hold start and end, at least 2")
        start_id, end_id = bpe.token_to_id(START), bpe.token_to_id(END)
        if start_id is None or end_id is None or end_id != bpe.get_vocab_size() - 1:
            raise ConfigError(
                f"{START} has id {start_id} and {END} id {end_id} of {bpe.get_vocab_size()}; the end token must be last"
            )
        self._bpe = bpe
        self.context_length = context_length
        self.start_id: int = start_id
        self.end_id: int = end_id

    @property
    def vocab_size(self) -> int:
        """Rows that a token embedding needs."""
        return self.end_id + 1

    def encode_batch(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(N, context_length) int64 token ids, one row per text."""
        rows = np.full((len(texts), self.context_length), PAD_ID, dtype=np.int64)
        for row, tokens in zip(rows, self._tokens([clean(text) for text in texts]), strict=True):
            kept = [self.start_id, *tokens, self.end_id][: self.context_length]
            row[: len(kept)] = kept
        return rows

    def num_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with start and end, however many; above `context_length` a row loses its end."""
        return [len(tokens) + 2 for tokens in self._tokens([clean(text) for text in texts])]

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) tokens of each row of `encode_batch` up to where the text tower reads it."""
        lengths: NDArray[np.int64] = rows.argmax(axis=1) + 1
        return lengths

    def _tokens(self, cleaned: list[str]) -> list[list[int]]:
        encoded = self._bpe.encode_batch(cleaned, add_special_tokens=False)
        return [
            self._tokens_with_specials(text) if START in text or END in text else list(encoding.ids)
            for text, encoding in zip(cleaned, encoded, strict=True)
        ]

    def _tokens_with_specials(self, text: str) -> list[int]:
        """Tokens of a text in which a special token is spelt out: as a whole word it counts as that token."""
        specials = {START: self.start_id, END: self.end_id}
        tokens: list[int] = []
        for word, _ in pre_tokenizers.Split(_WORDS, "removed", invert=True).pre_tokenize_str(text):
            tokens += [specials[word]] if word in specials else self._bpe.encode(word).ids
        return tokens

    def to_json(self) -> str:
        """The vocabulary in the format of the `tokenizers` library."""
        text: str = self._bpe.to_str()
        return text

    def settings(self) -> dict[str, int | str]:
        """What `to_json` cannot say: how texts are cleaned, cut and filled."""
        return {
            "cleaning": "clip",
            "context_length": self.context_length,
            "start_token": START,
            "end_token": END,
            "pad_id": PAD_ID,
        }

    @classmethod
    def from_json(cls, vocabulary: str, settings: dict[str, int | str]) -> Self:
        """The tokenizer that `to_json` and `settings` describe.

        Raises:
            CheckpointError: either is not what this class writes.
        """
        try:
            bpe = tokenizers.Tokenizer.from_str(vocabulary)
        except Exception as error:  # the library raises bare Exception for a damaged file
            raise CheckpointError(f"the tokenizer's vocabulary cannot be read: {error}") from error
        context_length = settings.get("context_length")
        if type(context_length) is not int:
            raise CheckpointError(f"the tokenizer's context_length is {context_length!r}; it must be a whole number")
        tokenizer = cls(bpe, context_length=context_length)
        if settings != tokenizer.settings():
            raise CheckpointError(f"the tokenizer's settings are {settings}; this version knows {tokenizer.settings()}")
        return tokenizer

    def digest(self) -> str:
        """Hex SHA-256 of everything that decides which ids a text gets."""
        content = {"vocabulary": json.loads(self.to_json()), "settings": self.settings()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def clean(text: str) -> str:
    """Text as CLIP reads it: encoding mistakes mended, HTML unescaped twice, single spaces, lower case."""
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(mended.split()).lower()


def clip_tokenizer(vocabulary: Path | None = None, *, context_length: int = CLIP_CONTEXT_LENGTH) -> Tokenizer:
    """The tokenizer of CLIP and LaViLa, 49,408 tokens.

    Args:
        vocabulary: bpe_simple_vocab_16e6.txt.gz; looked for in an installed open_clip when None.
        context_length: tokens per row.

    Raises:
        NotFoundError: there is no such file, and none comes with an installed package.
        ConfigError: the file is not a list of byte-pair merges.
    """
    path = vocabulary or find_clip_vocabulary()
    if path is None or not path.is_file():
        raise NotFoundError(
            f"no vocabulary file {path or CLIP_VOCABULARY_FILE}: give the path of {CLIP_VOCABULARY_FILE} "
            "(OpenAI's CLIP repository has it) or install open_clip_torch"
        )
    return _from_merges(read_merges(path)[:CLIP_NUM_MERGES], context_length)


def find_clip_vocabulary() -> Path | None:
    """CLIP's vocabulary file inside an installed open_clip, which is not imported; None without one."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / CLIP_VOCABULARY_FILE
    return path if path.is_file() else None


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent first, from a (gzipped) text file whose first line is a heading.

    Raises:
        ConfigError: the file cannot be unpacked, or a line is not two symbols.
    """
    try:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode().split("\n")[1:]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a vocabulary of byte-pair merges: {error}") from error
    merges = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        pair = line.split()
        if len(pair) != 2:
            raise ConfigError(f"{path}, line {number} is {line[:40]!r}; a merge is two symbols and a space")
        merges.append((pair[0], pair[1]))
    if not merges:
        raise ConfigError(f"{path} holds no merges")
    return merges


def train_tokenizer(texts: Iterable[str], vocab_size: int, context_length: int) -> Tokenizer:
    """A tokenizer of at most `vocab_size` tokens for texts like these, with CLIP's conventions.

    Raises:
        ConfigError: `vocab_size` is below 514, the single bytes with and without the end of a word, start and end.
    """
    if vocab_size < NUM_FIXED_TOKENS:
        raise ConfigError(f"vocab_size is {vocab_size}; it must be at least {NUM_FIXED_TOKENS}")
    learner = _bpe_of(models.BPE(end_of_word_suffix=END_OF_WORD))
    symbols = sorted(_byte_symbols())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=False,
        end_of_word_suffix=END_OF_WORD,
        # equally frequent pairs are ranked by number, and what is not listed is numbered in the order of a hash table
        special_tokens=[*symbols, *(symbol + END_OF_WORD for symbol in symbols)],
    )
    learner.train_from_iterator((clean(text) for text in texts), trainer)
    merges = [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]
    return _from_merges(merges[: vocab_size - NUM_FIXED_TOKENS], context_length)


def _from_merges(merges: list[tuple[str, str]], context_length: int) -> Tokenizer:
    symbols = _byte_symbols()
    tokens = [*symbols, *(s + END_OF_WORD for s in symbols), *(a + b for a, b in merges), START, END]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    try:
        model = models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix=END_OF_WORD)
    except Exception as error:  # the library raises bare Exception for a merge of unknown symbols
        raise ConfigError(f"the vocabulary's merges do not build on one another: {error}") from error
    return Tokenizer(_bpe_of(model), context_length=context_length)


def _bpe_of(model: models.BPE) -> tokenizers.Tokenizer:
    bpe = tokenizers.Tokenizer(model)
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return bpe


def _byte_symbols() -> list[str]:
    """One printable character per byte, in the order in which CLIP numbers them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(code) for code in [*printable, *range(256, 256 + others)]]
