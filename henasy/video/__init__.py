"""Video in, clips with their frames out. Torch-free; `henasy.video.preprocess`, imported by name, is not."""

from henasy.video.clips import ClipBatch, RefusedClips, read_clips
from henasy.video.fingerprint import fingerprint
from henasy.video.plan import ClipPlan, frame_times
from henasy.video.probe import VideoInfo, probe

__all__ = [
    "ClipBatch",
    "ClipPlan",
    "RefusedClips",
    "VideoInfo",
    "fingerprint",
    "frame_times",
    "probe",
    "read_clips",
]
