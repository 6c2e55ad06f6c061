"""Decoded pictures in display order, each with what is known to be wrong with it.

Decoding goes packet by packet. After an error, or a frame that the decoder marks as corrupt, every picture up to the
next key frame may be wrong. Decoders notice damage late: the pictures between it and the key frame before it are
in doubt, too, which `is_discrediting` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from henasy.video.container import VideoSource

_MAX_READ_ERRORS = 64
"""Read errors in a row after which the rest of a file is given up."""


class Picture(NamedTuple):
    """One decoded frame on the container's clock."""

    frame: VideoFrame
    time_s: float
    end_s: float
    is_clean_key: bool
    """A key frame that is itself right, from which on all is right again."""
    fault: str
    """Why this frame may be wrong; empty if nothing is known against it."""
    gap: str
    """Why frames between the one before and this one may be missing; empty if none are."""
    is_discrediting: bool
    """Damage came to light here, so that frames since the last key frame may be wrong, unnoticed until now."""


class _Health:
    """Whether what a decoder hands out can be trusted, from what is fed to it and what it says."""

    def __init__(self) -> None:
        self.fault = "no key frame before it"
        self.is_discredited = False
        self._fed: set[int] = set()

    def feed(self, packet: Packet[VideoStream]) -> None:
        """Remember what was fed since the damage: only a key frame among it ends the fault."""
        if self.fault and packet.pts is not None:
            self._fed.add(packet.pts)

    def damage(self, reason: str, *, is_noticed_late: bool) -> None:
        self.is_discredited |= is_noticed_late and not self.fault
        self.fault = reason
        self._fed.clear()

    def recovers_with(self, frame: VideoFrame) -> bool:
        return frame.key_frame and (not self.fault or frame.pts is None or frame.pts in self._fed)

    def recover(self) -> None:
        self.fault = ""
        self._fed.clear()


def read_pictures(source: VideoSource, on_progress: Callable[[], None]) -> Iterator[Picture]:
    """Pictures from the file's current position on; those before the first key frame are at fault."""
    health = _Health()
    last_s = -np.inf
    for packet, damage in _read_packets(source):
        on_progress()
        if damage:
            health.damage(damage, is_noticed_late=False)
        if packet is None:
            continue
        health.feed(packet)
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            health.damage(f"decoding failed: {error.strerror}", is_noticed_late=True)
            continue
        if packet.is_keyframe and packet.is_discard:
            health.recover()  # an edit list hides it, but what follows depends on nothing earlier
        for frame in frames:
            picture = _picture(frame, source, health, last_s)
            if picture is not None:
                last_s = picture.time_s
                yield picture


def _picture(frame: VideoFrame, source: VideoSource, health: _Health, last_s: float) -> Picture | None:
    """The frame with its faults; None if it is displayed at no time."""
    gap = health.fault
    ticks = frame.pts if frame.pts is not None else frame.dts
    time_s = source.time_s(ticks) if ticks is not None else max(last_s, -source.frame_s) + source.frame_s
    if time_s <= last_s:
        health.damage("timestamps run backwards", is_noticed_late=True)
        return None
    if frame.is_corrupt:
        health.damage("the decoder marks frames as corrupt", is_noticed_late=True)
    is_clean_key = not frame.is_corrupt and health.recovers_with(frame)
    if is_clean_key:
        health.recover()
    shown_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else source.frame_s
    is_discrediting, health.is_discredited = health.is_discredited, False
    return Picture(frame, time_s, time_s + shown_s, is_clean_key, health.fault, gap, is_discrediting)


def _read_packets(source: VideoSource) -> Iterator[tuple[Packet[VideoStream] | None, str]]:
    """Packets as the file holds them, each with what was damaged just before or in it."""
    packets = source.container.demux(source.stream)
    errors = 0
    while errors < _MAX_READ_ERRORS:
        try:
            packet = next(packets, None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError as error:
            errors += 1
            packets = source.container.demux(source.stream)
            yield None, f"reading failed: {error.strerror}"
            continue
        if packet is None:
            return
        errors = 0
        yield packet, "the container marks data as cut off or corrupt" if packet.is_corrupt else ""
