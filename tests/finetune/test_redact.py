import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.redact import Redactor, find_public, redact

PERSONAL = [
    ("Write to ada.lovelace+shop@example.co.uk please", "Write to [email] please"),
    ("发到zhang.wei@qq.com吧", "发到[email]吧"),
    ("Call me at (415) 555-2671 after six", "Call me at [phone] after six"),
    ("my number is +44 20 7946 0958.", "my number is [phone]."),
    ("我的电话13812345678，谢谢", "我的电话[phone]，谢谢"),
    ("座机是021-62345678", "座机是[phone]"),
    ("Card 4111 1111 1111 1111, exp 12/27", "Card [card], exp 12/27"),
    ("卡号5500005555555559", "卡号[card]"),
    ("Refund to DE89 3704 0044 0532 0130 00 please", "Refund to [iban] please"),
    ("Refund to GB82WEST12345698765432 NOW OK", "Refund to [iban] NOW OK"),
    ("身份证11010519491231002X", "身份证[id]"),
    ("my SSN is 536-90-4399", "my SSN is [id]"),
    ("CPF 390.533.447-05", "CPF [id]"),
    ("DNI 54362315K", "DNI [id]"),
]
HARMLESS = [
    "Order 4155552671 has not come",
    "order number: 13812345678",
    "订单号13812345678什么时候发货",
    "invoice #4111111111111111",
    "The Fern costs $1,299.00 and the Atlas 2,499.50 euros",
    "It came on 2026-11-22 at 10:30, not on 11/23/2026",
    "90 x 200 x 28 cm, 45 kg",
    "between 8-12 on weekdays",
    "tracking 9400111899223197428490",
    "10000 20000 30000",
    "firmness 4 out of 10, 100 nights, 10 years",
    "身高一米八，体重80公斤，预算3000到5000元",
    "model AT-2026-1040 and SKU 555-0199",
    "4111 1111 1111 1112 fails the check",
    "110105194912310021",
    "follow @linnetmoss for news",
]


@pytest.mark.parametrize(("text", "clean"), PERSONAL)
def test_personal_details_become_placeholders(text: str, clean: str) -> None:
    assert redact(text).text == clean


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_of_other_things_stay(text: str) -> None:
    assert redact(text).text == text


def test_the_report_counts_what_was_found() -> None:
    found = redact("a@example.com, b@example.com or 13812345678").found
    assert found == {"email": 2, "phone": 1}


def test_what_the_shop_publishes_stays() -> None:
    public = find_public(["Ring us: +1 415-555-2671, or write to Help@example.com."])
    text = "Write to help@example.com or ring +1 (415) 555-2671, not to bob@example.com"
    assert redact(text, public=public).text == (
        "Write to help@example.com or ring +1 (415) 555-2671, not to [email]"
    )


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_a_redacted_text_stays_as_it_is(text: str) -> None:
    once = redact(text).text
    assert redact(once).text == once


@settings(max_examples=50, deadline=None)
@given(
    before=st.text(alphabet="abc 订单，.\n", max_size=20),
    detail=st.sampled_from(["zoe@example.org", "4111-1111-1111-1111", "11010519491231002X"]),
    after=st.text(alphabet=" 号，.\n", max_size=20),
)
def test_a_detail_is_found_wherever_it_stands(before: str, detail: str, after: str) -> None:
    if before.strip().endswith(("订单", "单")) or before.endswith(tuple("abc.")):
        before += " ,"
    assert detail not in redact(f"{before}{detail}{after}").text


def test_a_detail_keeps_its_placeholder_through_a_conversation() -> None:
    redactor = Redactor(words=["Ada", "Project Fern"])
    said = [
        redactor.redact("I am Ada, ada@example.com, my flat-mate is bob@example.com"),
        redactor.redact("Is BOB@example.com told about project fern? Adam asks."),
        redactor.redact("No, only ada@example.com and 138 1234 5678."),
        redactor.redact("My number 13812345678 is the same one"),
    ]
    assert said == [
        "I am [word], [email], my flat-mate is [email-2]",
        "Is [email-2] told about [word-2]? Adam asks.",
        "No, only [email] and [phone].",
        "My number [phone] is the same one",
    ]
    assert redactor.found == {"email": 4, "word": 2, "phone": 2}


def test_words_of_the_shop_are_found_in_chinese_too() -> None:
    assert redact("张伟的床垫到了吗", words=["张伟"]).text == "[word]的床垫到了吗"
