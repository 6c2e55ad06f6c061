"""Where a checkpoint lies: a folder, one that is shipped, or one of the Hugging Face hub."""

import re
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from henasy.checkpoint.folder import ALL_FILES, MOMENT_ENDS
from henasy.checkpoint.shipped import SHIPPED, shipped_folder
from henasy.errors import CheckpointError, NotFoundError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_HUB_TIMEOUT_S = 10.0


def locate_checkpoint(name: str | Path) -> Path:
    """The folder of a checkpoint.

    Args:
        name: a folder; "henasy-tiny", which is shipped; or a hub id "owner/name", "owner/name@revision" for one
            state.

    Raises:
        NotFoundError: there is none of that name, or the hub cannot be reached.
        CheckpointError: it is a file.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise CheckpointError(
            f"{path} is a file; a checkpoint is a folder (`henasy-model import-lavila` makes one of a LaViLa .pth)"
        )
    if str(name) == SHIPPED:
        return shipped_folder()
    if _HUB_ID.fullmatch(str(name)) and path.suffix != ".pth":
        return _from_hub(str(name))
    raise NotFoundError(f"{name}: no such folder; allowed: a checkpoint folder, {SHIPPED}, or a hub id owner/name")


def _from_hub(name: str) -> Path:
    repository, _, revision = name.partition("@")
    try:
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=[*ALL_FILES, f"{MOMENT_ENDS}/*"],
            etag_timeout=_HUB_TIMEOUT_S,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise NotFoundError(
            f"{name}: no such folder, and the Hugging Face hub does not give it "
            f"({type(error).__name__}: {_first_line(error)}); without network give a folder on this machine"
        ) from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
