from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import openai
import pytest

from finetune.failure import CLOSED, judge, wait_s


def refusal(
    kind: type[openai.APIStatusError], status: int, *, code: str | None = None, **headers: str
) -> openai.APIStatusError:
    request = httpx2.Request("POST", "https://api.example/v1/fine_tuning/jobs")
    response = httpx2.Response(status, headers=headers, request=request)
    return kind("as the provider puts it", response=response, body={"code": code})


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (refusal(openai.RateLimitError, 429), True),
        (refusal(openai.RateLimitError, 429, code="insufficient_quota"), False),
        (refusal(openai.InternalServerError, 500), True),
        (refusal(openai.InternalServerError, 503), True),
        (refusal(openai.BadRequestError, 400), False),
        (refusal(openai.AuthenticationError, 401), False),
        (refusal(openai.PermissionDeniedError, 403), False),
        (refusal(openai.NotFoundError, 404), False),
        (openai.APITimeoutError(httpx2.Request("POST", "https://api.example")), True),
        (OSError(28, "No space left on device"), True),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, is_transient: bool) -> None:
    assert judge(error).is_transient is is_transient


def test_a_provider_that_closed_its_fine_tuning_is_explained() -> None:
    assert CLOSED in judge(refusal(openai.PermissionDeniedError, 403)).reason


def test_a_wrong_key_names_the_setting() -> None:
    assert "NOD_TRAINER_API_KEY" in judge(refusal(openai.AuthenticationError, 401)).reason


def test_a_key_that_the_provider_says_back_is_not_told() -> None:
    request = httpx2.Request(
        "POST", "https://api.example/v1/files", headers={"authorization": "Bearer tr-secret-42"}
    )
    response = httpx2.Response(401, request=request)
    error = openai.AuthenticationError("tr-secret-42 is no key", response=response, body=None)
    reason = judge(error).reason
    assert "tr-secret-42" not in reason
    assert "401: *** is no key" in reason


def test_the_wait_that_the_provider_asks_for_is_kept_within_an_hour() -> None:
    def asked_for(value: str) -> float | None:
        return judge(refusal(openai.RateLimitError, 429, **{"retry-after": value})).retry_after_s

    assert asked_for("7") == 7
    assert asked_for("-1") == 0
    assert asked_for("999999") == 3600
    assert asked_for("soon") is None
    assert asked_for("nan") is None


def test_a_wait_until_a_date_is_kept_too() -> None:
    def asked_for(at: datetime) -> float | None:
        date = format_datetime(at, usegmt=True)
        return judge(refusal(openai.RateLimitError, 429, **{"retry-after": date})).retry_after_s

    in_half_a_minute = asked_for(datetime.now(UTC) + timedelta(seconds=30))
    assert in_half_a_minute is not None
    assert 25 < in_half_a_minute <= 30
    assert asked_for(datetime.now(UTC) - timedelta(days=1)) == 0
    assert asked_for(datetime.now(UTC) + timedelta(days=1)) == 3600


def test_waits_grow_and_are_bounded_and_never_the_same() -> None:
    waits = [wait_s(attempt) for attempt in range(1, 12)]
    assert all(1 <= wait <= 60 for wait in waits)
    assert max(waits[:2]) < min(waits[5:])
    assert len(set(waits)) > 8
    assert 7 <= wait_s(1, retry_after_s=7) <= 8
