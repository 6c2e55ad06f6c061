"""Every error that henasy raises on purpose.

A message says what is wrong, the value, what is allowed, and the path if there is one.
"""


class HenasyError(Exception):
    """Base of all deliberate errors."""


class ConfigError(HenasyError, ValueError):
    """A setting has a value that is not allowed."""


class InputError(HenasyError, ValueError):
    """A request or an argument is wrong; `field` names it.

    Attributes:
        field: name of the offending argument, as its caller wrote it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class NotFoundError(HenasyError, LookupError):
    """A named thing (video, clip, index, checkpoint) does not exist."""


class UnsupportedError(HenasyError):
    """The request is valid but this index or checkpoint cannot answer it."""


class VideoError(HenasyError):
    """A video, or part of one, cannot be read."""


class CheckpointError(HenasyError):
    """A checkpoint is missing, damaged, or of another shape than its config says."""


class IndexFormatError(HenasyError):
    """An index on disk is damaged or written by an incompatible version."""


class IndexBusyError(HenasyError):
    """Another writer holds the index."""


class SpaceMismatchError(HenasyError):
    """Embeddings of two different spaces would have met."""


class AnnotationError(HenasyError, ValueError):
    """An annotation file lacks columns, names unknown ids, or has values out of range."""


class TrainingError(HenasyError):
    """Training cannot go on, e.g. because a loss is not finite."""


def missing_extra(message: str, extra: str) -> ConfigError:
    """The error for a library that an optional extra brings and that cannot be imported."""
    return ConfigError(f"{message}; in a checkout of henasy: pip install -e '.[{extra}]' -c constraints.txt")
