"""Errors that a client sees, in OpenAI's shape.

ApiError
├── BadRequestError        400  what was asked can't be done as it was asked
├── UnauthorizedError      401  no key, or a wrong one
├── ForbiddenError         403  this object may not be changed
├── NotFoundError          404  no such object
│   └── ModelNotFoundError      neither a model nor an alias
├── TooLargeError          413  more bytes than the server takes
├── BusyError              429  the queue is full: come again
├── LoadingError           503  the model is being loaded: come again
└── DiskFullError          507  there is no room to write what was sent
"""

from typing import Any


class ApiError(Exception):
    """`message` says what to do; `param` names the key at fault; `retry_after_s` when to come."""

    status = 500
    type = "server_error"
    code: str | None = None
    retry_after_s: int | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code

    def body(self) -> dict[str, Any]:
        """The `ErrorResponse` of OpenAI's spec."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class BadRequestError(ApiError):
    status = 400
    type = "invalid_request_error"


class UnauthorizedError(ApiError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class ForbiddenError(ApiError):
    status = 403
    type = "permission_error"


class NotFoundError(ApiError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The model `{name}` does not exist. GET /v1/models lists what does; "
            "--alias NAME=MODEL gives a model another name.",
            param="model",
        )


class TooLargeError(ApiError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class BusyError(ApiError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after_s = 1


class LoadingError(ApiError):
    status = 503
    type = "server_error"
    code = "model_loading"
    retry_after_s = 1


class DiskFullError(ApiError):
    status = 507
    code = "disk_full"

    def __init__(self) -> None:
        super().__init__(
            "The server's disk is full: nothing of this request was kept. Make room in its data "
            "folder (DELETE /v1/files and /v1/models free some), and send it again."
        )
