"""Video in, clips with their frames out. Torch-free; `henasy.video.preprocess`, imported by name, is not."""

from henasy.video.clips import ClipBatch, RefusedClips, read_clips
from henasy.video.find import Found, FoundVideo, RefusedPath, find_videos
from henasy.video.fingerprint import fingerprint, has_content, short_name
from henasy.video.plan import ClipPlan, frame_times
from henasy.video.probe import VideoInfo, probe

__all__ = [
    "ClipBatch",
    "ClipPlan",
    "Found",
    "FoundVideo",
    "RefusedClips",
    "RefusedPath",
    "VideoInfo",
    "find_videos",
    "fingerprint",
    "frame_times",
    "has_content",
    "probe",
    "read_clips",
    "short_name",
]
