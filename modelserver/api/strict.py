"""JSON bodies read strictly: no NaN, no half surrogate pairs, nothing nested without end."""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

TokenNumbers = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]


class Body(BaseModel):
    """A request body. Keys of OpenAI's API that a server of one machine can't use are let pass."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, protected_namespaces=())


class _StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        try:
            value = json.loads(body, parse_constant=_refuse)
            if b"\\ud" in body.lower():
                json.dumps(value, ensure_ascii=False).encode()
        except json.JSONDecodeError:
            raise
        except RecursionError:
            raise json.JSONDecodeError("nested too deeply", "", 0) from None
        except UnicodeEncodeError:
            raise json.JSONDecodeError("half of a surrogate pair", "", 0) from None
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error
        return value


class StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
