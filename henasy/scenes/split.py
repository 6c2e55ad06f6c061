"""The two kinds of archive: what a model may learn from, and what it is measured on."""

from typing import Literal

Split = Literal["train", "test"]
