"""A running henasy-serve as something that own queries are asked of."""

import glob
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from henasy_api.v1 import search_pb2, search_pb2_grpc

from henasy.errors import InputError
from henasy.evaluation.own.found_spans import FoundSpan
from henasy.evaluation.own.searched_archive import ArchiveVideo, in_batches
from henasy.search.request import Target

_MAX_RESPONSE_BYTES = 128 * 1024**2
_TIMEOUT_S = 120.0


class ServedArchive:
    """A server, asked through gRPC."""

    def __init__(self, address: str, *, target: Target) -> None:
        """Asks the server what it serves.

        Args:
            address: HOST:PORT.
            target: what is searched for.

        Raises:
            InputError: the server does not answer.
        """
        options = [("grpc.max_receive_message_length", _MAX_RESPONSE_BYTES)]
        self._address = address
        self._stub = search_pb2_grpc.HenasySearchStub(grpc.insecure_channel(address, options=options))
        self._target = search_pb2.Target.Value(f"TARGET_{target.name}")
        info = self._call(self._stub.GetIndex, search_pb2.GetIndexRequest())
        self._facts: dict[str, object] = {
            "server": f"{address}, generation {info.generation}, {info.num_clips} clips of {info.num_videos} videos",
            "model": f"{info.model} ({info.kind})",
            "space": info.space_id,
            "plan": f"{info.plan.clip_s:g} s every {info.plan.stride_s:g} s, {info.plan.num_frames} frames",
            "target": str(target),
        }

    @property
    def facts(self) -> dict[str, object]:
        """What fixes its answers."""
        return dict(self._facts)

    def videos(self, names: Sequence[str]) -> dict[str, ArchiveVideo]:
        """The videos that there are of these, by one small call each.

        Raises:
            InputError: a name means several videos, or the server does not answer.
        """
        found = {name: self._videos_called(name) for name in names}
        for name, videos in found.items():
            if len(videos) > 1:
                ids = ", ".join(video.video_id for video in videos)
                raise InputError("video", f"{name!r} is the path of several videos, name one by its id: {ids}")
        return {name: videos[0] for name, videos in found.items() if videos}

    def search(self, queries: Mapping[str, str], top_k: int) -> dict[str, list[FoundSpan]]:
        """The best hits of each query."""
        return in_batches(queries, top_k, self._answer)

    def _videos_called(self, name: str) -> list[ArchiveVideo]:
        found: dict[str, ArchiveVideo] = {}
        for conditions in ({"path_globs": [glob.escape(name)]}, {"video_ids": [name]}):
            request = search_pb2.SearchRequest(
                query="video", target=search_pb2.TARGET_VIDEOS, filter=search_pb2.Filter(**conditions)
            )
            for hit in self._hits_or_none(request):
                if name in (hit.video.video_id, hit.video.path):
                    video = ArchiveVideo(hit.video.video_id, hit.video.path, hit.video.duration_s)
                    found[video.video_id] = video
        return list(found.values())

    def _hits_or_none(self, request: Any) -> list[Any]:
        try:
            return list(self._stub.Search(request, timeout=_TIMEOUT_S).results[0].hits)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return []
            raise self._error(error) from error

    def _answer(self, texts: tuple[str, ...], top_k: int) -> list[list[FoundSpan]]:
        request = search_pb2.SearchRequest(queries=texts, target=self._target, top_k=top_k)
        return [[_found_span(hit) for hit in result.hits] for result in self._call(self._stub.Search, request).results]

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise self._error(error) from error

    def _error(self, error: Any) -> InputError:
        return InputError("server", f"{self._address}: {error.code().name}: {error.details()}")


def _found_span(hit: Any) -> FoundSpan:
    return FoundSpan(hit.video.video_id, hit.video.path, hit.span.start_s, hit.span.end_s, hit.score)
