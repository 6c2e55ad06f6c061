"""Features and annotations as VSGN reads them in the public code for moment queries.

DIR/features/<clip_uid>.pt        float32 tensor (T, D): feature i covers [i, i + 1) * (clip length / T)
DIR/clip_annotations.json         the clips of all splits, flat
DIR/moment_classes_idx.json       the classes, Background 0

Source: facebookresearch/EgoVLPv2 EgoMQ/Utils/dataset.py and Convert_annotations.py, showlab/EgoVLP run/test_mq.py: one
file per clip, as EgoVLP's features come; their rate follows from T and the clip's length. The loader of
EGO4D/episodic-memory differs: it reads one file per video.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from henasy.evaluation.annotations.egomq import BACKGROUND, CLASSES_FILE, FLAT_FILE, EgoMq, MomentClip
from henasy.evaluation.span_tasks.mq_features import ClipFeatures
from henasy.evaluation.tasks.report import write_text

FEATURES = "features"


def export_for_vsgn(
    folder: Path, splits: Sequence[EgoMq], features: Mapping[str, ClipFeatures], classes: Sequence[str]
) -> int:
    """Writes the three parts and returns how many clips they hold; clips without features are left out of all."""
    (folder / FEATURES).mkdir(parents=True, exist_ok=True)
    clips: dict[str, Any] = {}
    for annotations in splits:
        for clip in annotations.clips:
            found = features.get(clip.clip_uid)
            if found is not None:
                _write_tensor(folder / FEATURES / f"{clip.clip_uid}.pt", torch.tensor(found.features))
                clips[clip.clip_uid] = _flat(clip, annotations.split, found)
    write_text(folder / FLAT_FILE, json.dumps(clips, indent=1) + "\n")
    numbers = {BACKGROUND: 0} | {name: number for number, name in enumerate(classes, start=1)}
    write_text(folder / CLASSES_FILE, json.dumps(numbers, indent=1) + "\n")
    return len(clips)


def _flat(clip: MomentClip, split: str, found: ClipFeatures) -> dict[str, Any]:
    span = clip.part_of_video()
    return {
        "video_id": span.video_id,
        "clip_id": clip.clip_uid,
        "parent_start_sec": span.start_s,
        "parent_end_sec": span.end_s,
        "fps": len(found.features) / (span.end_s - span.start_s),
        "annotations": [
            {"start_time": moment.start_s, "end_time": moment.end_s, "label": moment.label} for moment in clip.moments
        ],
        "subset": split,
    }


def _write_tensor(path: Path, tensor: torch.Tensor) -> None:
    """A plain tensor in torch's own format, which is what VSGN loads; whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            torch.save(tensor, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
