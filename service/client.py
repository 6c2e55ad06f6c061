"""A typed client: requests and answers are those of `henasy.search`, errors those of `henasy.errors`.

Needs no torch, and no index on this machine.
"""

import math
from collections.abc import Callable
from typing import Any

import grpc
from henasy_api.v1 import search_pb2, search_pb2_grpc

from henasy.errors import InputError
from henasy.index.select import Filters
from henasy.search.hits import Evidence, Hit, SearchAnswer
from henasy.search.info import IndexInfo
from henasy.search.request import (
    DEFAULT_TOP_K,
    SearchRequest,
    Target,
    check_query,
    check_time,
    member_of,
    whole_number,
)
from henasy.text.wording import Wording
from service.status import DeadlinePassedError, error_of
from service.wire.answers import answer_from_proto, evidence_from_proto, info_from_proto
from service.wire.requests import ExplainArguments, explain_to_proto, request_to_proto

_MAX_RESPONSE_BYTES = 128 * 1024**2
DEFAULT_TIMEOUT_S = 30.0


class HenasyClient:
    """Asks one server. Safe to use from several threads; close it or use it as a context.

        with HenasyClient("127.0.0.1:50051") as client:
            for hit in client.search("open the drawer", target="entities"):
                print(hit.score, hit.video.path, hit.span)

    All calls raise the error that the server had (InputError, NotFoundError, UnsupportedError, ...),
    DeadlinePassedError when the answer took too long, and ServiceError when the server is away or fails.
    """

    def __init__(self, address: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Prepares to call `address`, HOST:PORT; the connection is made with the first call.

        Args:
            timeout_s: what a call may take unless it says otherwise.
        """
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", _MAX_RESPONSE_BYTES)]
        )
        self._stub = search_pb2_grpc.HenasySearchStub(self._channel)

    def search(
        self,
        query: str,
        *,
        target: Target | str = Target.CLIPS,
        top_k: int = DEFAULT_TOP_K,
        min_score: float | None = None,
        filters: Filters | None = None,
        wording: Wording | str | None = None,
        timeout_s: float | None = None,
    ) -> tuple[Hit, ...]:
        """The best hits of one text, best first."""
        request = SearchRequest(
            queries=(query,),
            target=member_of(Target, "target", target),
            top_k=top_k,
            min_score=min_score,
            filters=filters or Filters(),
            wording=None if wording is None else member_of(Wording, "wording", wording),
        )
        return self.answer(request, timeout_s=timeout_s).results[0].hits

    def answer(self, request: SearchRequest, *, timeout_s: float | None = None) -> SearchAnswer:
        """The answer to any request: several texts, grouping, explanations."""
        response = self._call(self._stub.Search, request_to_proto(request), timeout_s)
        return answer_from_proto(response)

    def explain(
        self,
        query: str,
        video_id: str,
        start_s: float,
        *,
        slot: int | None = None,
        wording: Wording | str | None = None,
        timeout_s: float | None = None,
    ) -> Evidence:
        """Why the clip of a video that starts at `start_s` answers a text; `slot` adds an entity of it."""
        check_query("query", query)
        check_time("start_s", start_s)
        if not isinstance(video_id, str):
            raise InputError("video_id", f"{video_id!r} is not a text")
        if slot is not None and whole_number("slot", slot) < 0:
            raise InputError("slot", f"{slot} is not at least 0")
        worded = None if wording is None else member_of(Wording, "wording", wording)
        message = explain_to_proto(ExplainArguments(query, video_id, start_s, slot, worded))
        return evidence_from_proto(self._call(self._stub.Explain, message, timeout_s))

    def index(self, *, timeout_s: float | None = None) -> IndexInfo:
        """What the server serves."""
        return info_from_proto(self._call(self._stub.GetIndex, search_pb2.GetIndexRequest(), timeout_s))

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> "HenasyClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], message: object, timeout_s: float | None) -> Any:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if isinstance(timeout_s, bool | str) or not math.isfinite(timeout_s):
            raise InputError("timeout_s", f"{timeout_s!r} is not a number of seconds")
        # gRPC itself may answer such a call when the server is quick.
        if timeout_s <= 0:
            raise DeadlinePassedError(f"timeout_s: {timeout_s:g} s leave no time for an answer; give more than 0")
        try:
            return method(message, timeout=timeout_s)
        except grpc.RpcError as failed:
            error = error_of(failed)
            if isinstance(error, DeadlinePassedError):
                # The server knows when the deadline is, not what the caller gave.
                error = DeadlinePassedError(f"no answer within {timeout_s:g} s: {error}")
            raise error from failed
