"""The checkpoint that comes with the package, trained on the rendered archive."""

from pathlib import Path

from henasy.errors import NotFoundError

SHIPPED = "henasy-tiny"
_FOLDERS = Path(__file__).resolve().parents[1] / "weights"


def shipped_folder() -> Path:
    """Where it lies.

    Raises:
        NotFoundError: this installation lacks it.
    """
    folder = _FOLDERS / SHIPPED
    if not folder.is_dir():
        raise NotFoundError(f"{SHIPPED} is not part of this installation ({folder} is missing)")
    return folder
