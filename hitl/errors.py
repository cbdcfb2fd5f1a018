"""Every error that Handrail raises on purpose, in one tree.

    HandrailError
    ├── ConfigError            a run file, an option or an environment is wrong; exit code 2
    ├── RequestError           a call to the feedback service was refused; each names its gRPC status
    │   ├── InvalidRequest     INVALID_ARGUMENT     a field is malformed
    │   ├── NotFound           NOT_FOUND            no such run, segment, question or stage
    │   ├── Conflict           ALREADY_EXISTS       the same id with another body
    │   ├── NotYours           FAILED_PRECONDITION  a question that is closed, or something that someone else has
    │   ├── StaleEpoch         ABORTED              a newer driver has opened this run
    │   ├── Unauthenticated    UNAUTHENTICATED      no token, or one that is not ours
    │   ├── Forbidden          PERMISSION_DENIED    a good token without this right
    │   ├── Busy               RESOURCE_EXHAUSTED   too much at once; try again later
    │   ├── Unavailable        UNAVAILABLE          nobody answers, or what is wanted is away for now
    │   └── DeadlineExceeded   DEADLINE_EXCEEDED    the answer took too long
    └── StorageError           the database or its folder cannot be used; exit code 2

Errors cross processes, so each is built from its message alone and can be pickled. They are translated
into gRPC status codes in one place, `hitl.service.border`, and back in one place, `hitl.client.channel`.
"""


class HandrailError(Exception):
    """Something went wrong that the caller can do something about; the message says what."""


class ConfigError(HandrailError):
    """A run file, an option or an environment is wrong."""


class StorageError(HandrailError):
    """The database or its folder cannot be used."""


class RequestError(HandrailError):
    """A call to the feedback service was refused."""

    status = "UNKNOWN"


class InvalidRequest(RequestError):
    """A field is malformed."""

    status = "INVALID_ARGUMENT"


class NotFound(RequestError):
    """There is no such run, segment, question or stage."""

    status = "NOT_FOUND"


class Conflict(RequestError):
    """The same id was used before with another body."""

    status = "ALREADY_EXISTS"


class NotYours(RequestError):
    """A question is answered, expired or withdrawn, or someone else has it, or has the controls of a stage."""

    status = "FAILED_PRECONDITION"


class StaleEpoch(RequestError):
    """A newer driver has opened this run."""

    status = "ABORTED"


class Unauthenticated(RequestError):
    """The call carries no token, or one that is not ours."""

    status = "UNAUTHENTICATED"


class Forbidden(RequestError):
    """The token is good and does not give this right."""

    status = "PERMISSION_DENIED"


class Busy(RequestError):
    """Too much at once; try again later."""

    status = "RESOURCE_EXHAUSTED"


class Unavailable(RequestError):
    """Nobody answers; or the service did, and is shutting down or waits for a stage that is away."""

    status = "UNAVAILABLE"


class DeadlineExceeded(RequestError):
    """The answer took too long."""

    status = "DEADLINE_EXCEEDED"


REQUEST_ERRORS: dict[str, type[RequestError]] = {
    error.status: error for error in RequestError.__subclasses__()
}
"""From the name of a gRPC status to the error that means it."""

SERVICE_MARK = ("hitl-refused-by", "service")
"""In the trailing metadata of what the service refused: gRPC has statuses of its own where nobody was reached."""
