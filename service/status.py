"""Which error becomes which gRPC status, and back.

The status carries google.rpc.ErrorInfo with the error's class as reason and, for a bad argument,
google.rpc.BadRequest with the field.
"""

from typing import NamedTuple

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from henasy import errors

DOMAIN = "henasy.v1"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
_MAX_MESSAGE_CHARS = 1_000


class CallEndedError(errors.HenasyError):
    """The caller went away before the answer was ready."""


class DeadlinePassedError(errors.HenasyError):
    """The caller's deadline passed before the answer was ready."""


class ServiceError(errors.HenasyError):
    """The server could not be reached or failed; `code` is the gRPC status.

    Attributes:
        code: name of the status, e.g. "UNAVAILABLE".
        request_id: what the server's log knows the call by; empty when it never got there.
    """

    def __init__(self, message: str, *, code: str, request_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


CODES: tuple[tuple[type[errors.HenasyError], grpc.StatusCode], ...] = (
    (errors.InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.UnsupportedError, grpc.StatusCode.UNIMPLEMENTED),
    (errors.SpaceMismatchError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.VideoError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.IndexBusyError, grpc.StatusCode.UNAVAILABLE),
    (errors.IndexFormatError, grpc.StatusCode.DATA_LOSS),
    (DeadlinePassedError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (CallEndedError, grpc.StatusCode.CANCELLED),
)
"""Any other error is INTERNAL, and its text stays in the log."""


class Failure(NamedTuple):
    """A status as it goes over the wire."""

    code: grpc.StatusCode
    message: str
    details: bytes
    """A serialised google.rpc.Status."""


def failure_of(error: Exception, request_id: str) -> Failure:
    """The status of a call that ended with an error."""
    for kind, code in CODES:
        if isinstance(error, kind):
            return _failure(code, str(error)[:_MAX_MESSAGE_CHARS], kind.__name__, getattr(error, "field", ""))
    message = f"internal error; the server's log has the cause under request id {request_id}"
    return _failure(grpc.StatusCode.INTERNAL, message, "InternalError", "")


def _failure(code: grpc.StatusCode, message: str, reason: str, field: str) -> Failure:
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return Failure(code, message, status.SerializeToString())


def error_of(failed: grpc.RpcError) -> errors.HenasyError:
    """The error that a failed call stands for, as the server had it where it is one of `CODES`."""
    code, message = failed.code(), failed.details() or ""
    metadata = {item.key: item.value for item in failed.trailing_metadata() or ()}
    reason, field = _details(metadata.get(DETAILS_KEY, b""))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlinePassedError(message)
    for kind, _ in CODES:
        if kind.__name__ == reason and kind is errors.InputError:
            return errors.InputError(field, message.removeprefix(f"{field}: "))
        if kind.__name__ == reason:
            return kind(message)
    return ServiceError(f"{code.name}: {message}", code=code.name, request_id=str(metadata.get(REQUEST_ID_KEY, "")))


def _details(serialised: bytes) -> tuple[str, str]:
    """Reason and field, empty when the status has none."""
    reason = field = ""
    for packed in status_pb2.Status.FromString(serialised).details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if packed.Unpack(info) and info.domain == DOMAIN:
            reason = info.reason
        elif packed.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
    return reason, field
