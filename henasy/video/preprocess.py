"""What every encoder sees of a frame: resize, crop, normalise. The one file of `henasy.video` that needs torch.

F frames, S side of the model's square input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from henasy.errors import ConfigError, InputError
from henasy.video.geometry import FrameCrop, Size, centre_offset, resized_size, third_offset

Channels = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class PreprocessSpec:
    """How displayed RGB frames become the input of one model."""

    image_px: int
    """Side of the square input."""
    mean: Channels
    """Per RGB channel, on the scale 0..255."""
    std: Channels
    """Per RGB channel, on the scale 0..255."""
    is_antialiased: bool = False
    """Low-pass before downscaling; the reference's pinned torchvision does not on tensors."""
    crop: Literal["center", "none"] = "center"
    """`center`: short side to `image_px`, centre square. `none`: the whole frame, aspect ratio distorted."""

    def __post_init__(self) -> None:
        if not (isinstance(self.image_px, int) and 1 <= self.image_px <= 4096):
            raise ConfigError(f"image_px must be an integer in 1..4096, got {self.image_px!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if not (isinstance(values, tuple) and len(values) == 3 and bool(np.isfinite(values).all())):
                raise ConfigError(f"{name} must be three finite numbers, got {values!r}")
        if min(self.std) <= 0:
            raise ConfigError(f"std must be above 0, got {self.std!r}")
        if not isinstance(self.is_antialiased, bool):
            raise ConfigError(f"is_antialiased must be true or false, got {self.is_antialiased!r}")
        if self.crop not in ("center", "none"):
            raise ConfigError(f"crop must be 'center' or 'none', got {self.crop!r}")

    def to_dict(self) -> dict[str, object]:
        """The settings as JSON types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, object]) -> PreprocessSpec:
        """The spec that `to_dict` wrote.

        Raises:
            ConfigError: a key is unknown or missing, or a value is not allowed.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(settings) - known)
        missing = sorted({"image_px", "mean", "std"} - set(settings))
        if unknown or missing:
            raise ConfigError(f"preprocessing settings: unknown keys {unknown}, missing keys {missing}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ checks every value

    def crop_to_frame(self, height_px: int, width_px: int) -> FrameCrop:
        """The region of a displayed frame of this size that the model sees."""
        frame = Size(height_px, width_px)
        if self.crop == "none":
            return FrameCrop(0.0, 0.0, float(width_px), float(height_px), frame)
        resized = resized_size(height_px, width_px, self.image_px)
        x_scale, y_scale = width_px / resized.width_px, height_px / resized.height_px
        return FrameCrop(
            left_px=centre_offset(resized.width_px, self.image_px) * x_scale,
            top_px=centre_offset(resized.height_px, self.image_px) * y_scale,
            width_px=self.image_px * x_scale,
            height_px=self.image_px * y_scale,
            frame=frame,
        )


def lavila_spec(image_px: int = 224) -> PreprocessSpec:
    """The evaluation preprocessing of LaViLa's dual encoders.

    Source: facebookresearch/LaViLa eval_zeroshot.py. The first mean is the authors' typo for 122.77; the published
    weights were trained with it.
    """
    return PreprocessSpec(
        image_px=image_px,
        mean=(108.3272985, 116.7460125, 104.09373615),
        std=(68.5005327, 66.6321579, 70.32316305),
    )


def preprocess(
    frames: NDArray[np.uint8], spec: PreprocessSpec, *, device: torch.device | str = "cpu", third: int | None = None
) -> Tensor:
    """The model's input (F, 3, S, S), float32 on `device`.

    Args:
        frames: (F, H, W, 3) uint8, RGB, displayed orientation.
        spec: what the model expects.
        device: where the work is done and the result lies.
        third: 0, 1 or 2 for the first, middle or last of three squares along the long side, in place of the crop of
            the spec: what evaluators of many crops take.

    Source: facebookresearch/LaViLa eval_zeroshot.py: bilinear resize of float frames, centre crop, normalise.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise InputError("frames", f"must be (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    mean = torch.tensor(spec.mean, device=device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=device).view(3, 1, 1)
    if frames.shape[0] == 0:
        return torch.empty(0, 3, spec.image_px, spec.image_px, device=device)
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
    square = _square(pixels.permute(0, 3, 1, 2).float(), spec, third)
    return ((square - mean) / std).contiguous()


def _square(images: Tensor, spec: PreprocessSpec, third: int | None) -> Tensor:
    """Float images (F, 3, H, W) resized and cropped to (F, 3, S, S)."""
    height_px, width_px = images.shape[-2:]
    side = spec.image_px
    is_whole = spec.crop == "none" and third is None
    target = Size(side, side) if is_whole else resized_size(height_px, width_px, side)
    if target != (height_px, width_px):
        images = functional.interpolate(
            images, size=tuple(target), mode="bilinear", align_corners=False, antialias=spec.is_antialiased
        )
    if third is None:
        top, left = centre_offset(target.height_px, side), centre_offset(target.width_px, side)
    else:
        top, left = third_offset(target.height_px, side, third), third_offset(target.width_px, side, third)
    return images[..., top : top + side, left : left + side]
