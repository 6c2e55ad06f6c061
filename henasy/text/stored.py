"""Which tokenizer a checkpoint holds."""

from henasy.text.tokenizer import Tokenizer
from henasy.text.wordpiece import CLEANING, WordPieceTokenizer

AnyTokenizer = Tokenizer | WordPieceTokenizer


def tokenizer_from_json(vocabulary: str, settings: dict[str, int | str]) -> AnyTokenizer:
    """The tokenizer that its own `to_json` and `settings` describe.

    Raises:
        CheckpointError: they are of no tokenizer that this version knows.
    """
    of_kind = WordPieceTokenizer if settings.get("cleaning") == CLEANING else Tokenizer
    return of_kind.from_json(vocabulary, settings)
