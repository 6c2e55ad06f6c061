"""The calls of henasy.v1.HenasySearch over one live engine."""

import logging
import re
import uuid
from collections.abc import Callable
from typing import TypeVar

import grpc
from henasy_api.v1 import search_pb2, search_pb2_grpc

from henasy import __version__
from henasy.search.engine import MAX_READ_S
from henasy.search.info import describe
from service.live import LiveEngine
from service.status import DETAILS_KEY, REQUEST_ID_KEY, CallEndedError, DeadlinePassedError, failure_of
from service.wire.answers import answer_to_proto, evidence_to_proto, info_to_proto
from service.wire.requests import explain_from_proto, request_from_proto

_LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_Response = TypeVar("_Response")


class SearchServicer(search_pb2_grpc.HenasySearchServicer):  # type: ignore[misc]  # generated code has no types
    """Parses, asks the engine, answers; every error becomes a status."""

    def __init__(self, live: LiveEngine) -> None:
        """Answers from whatever `live` holds when a call begins."""
        self._live = live

    def Search(self, request: search_pb2.SearchRequest, context: grpc.ServicerContext) -> search_pb2.SearchResponse:  # noqa: N802
        """Best hits of each text."""

        def answer() -> search_pb2.SearchResponse:
            asked = request_from_proto(request)
            return answer_to_proto(self._live.current.search(asked, _proceed(context)))

        return _answered(answer, context)

    def Explain(self, request: search_pb2.ExplainRequest, context: grpc.ServicerContext) -> search_pb2.ExplainResponse:  # noqa: N802
        """Why one clip answers a text."""

        def answer() -> search_pb2.ExplainResponse:
            proceed = _proceed(context)
            proceed()
            asked = explain_from_proto(request)
            evidence = self._live.current.explain(
                asked.query,
                asked.video_id,
                asked.start_s,
                asked.slot,
                wording=asked.wording,
                proceed=proceed,
                max_read_s=_max_read_s(context),
            )
            return evidence_to_proto(evidence)

        return _answered(answer, context)

    def GetIndex(  # noqa: N802
        self, request: search_pb2.GetIndexRequest, context: grpc.ServicerContext
    ) -> search_pb2.GetIndexResponse:
        """What is being served."""
        return _answered(lambda: info_to_proto(describe(self._live.current.index), __version__), context)


def _max_read_s(context: grpc.ServicerContext) -> float:
    """What reading a video may take: half of the time that is left, so that the answer is there in time without it."""
    remaining_s = context.time_remaining()
    return MAX_READ_S if remaining_s is None else min(MAX_READ_S, remaining_s / 2)


def _proceed(context: grpc.ServicerContext) -> Callable[[], None]:
    """Raises once nobody waits for the answer any more."""

    def proceed() -> None:
        remaining_s = context.time_remaining()
        if remaining_s is not None and remaining_s <= 0:
            raise DeadlinePassedError("the deadline passed before the answer was ready")
        if not context.is_active():
            raise CallEndedError("the caller went away")

    return proceed


def _answered(answer: Callable[[], _Response], context: grpc.ServicerContext) -> _Response:
    """The answer, or the status of the error that it ended with."""
    request_id = _request_id(context)
    try:
        response = answer()
    except Exception as error:
        failure = failure_of(error, request_id)
        if failure.code is grpc.StatusCode.INTERNAL:
            _LOG.exception("request %s failed", request_id)
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id), (DETAILS_KEY, failure.details)))
    else:
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        return response
    context.abort(failure.code, failure.message)
    raise AssertionError("abort raises")


def _request_id(context: grpc.ServicerContext) -> str:
    """The caller's own id for the call if it is a sane one, else a new one."""
    for key, value in context.invocation_metadata():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex
