"""What the report reckons with: prices, tokens, languages, near-duplicates."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from finetune.prepare.batch import Batch
from finetune.prepare.language import tell_language
from finetune.prepare.near import find_near, sign
from finetune.prepare.prices import PriceTableError, find_price, read_prices
from finetune.prepare.tally import EXACT, SAMPLE, Tally
from finetune.prepare.tokens import NoTokenizerError, find_local, load_tokenizer
from tests.finetune.prepare.preparing import WORDS


def test_the_tutorials_hundred_thousand_tokens_cost_two_dollars_forty() -> None:
    price = find_price(read_prices(), "gpt-3.5-turbo")
    assert price
    assert price.price == 8.0  # $0.008 for 1,000
    assert price.cost(100_000, epochs=3) == pytest.approx(2.40)


def test_every_price_says_when_it_was_read_and_where() -> None:
    for price in read_prices():
        assert price.as_of.year >= 2025
        assert price.source
    assert find_price(read_prices(), "gpt-4o-mini-2024-07-18").name == "gpt-4o-mini"  # type: ignore[union-attr]
    assert find_price(read_prices(), "gpt-9") is None


def test_the_local_trainer_is_reckoned_in_time() -> None:
    local = next(price for price in read_prices() if price.provider == "this machine")
    assert local.cost(10**6) == 0
    assert local.duration_s(local.tokens_per_second * 60, epochs=2) == 120  # type: ignore[arg-type, operator]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("x = ", "cannot be read"), ("a = 1", "no [[model]]"),
     ('[[model]]\nname = "m"\n', "model m: 'provider' is missing")],
)  # fmt: skip
def test_a_wrong_price_table_is_named(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(PriceTableError) as caught:
        read_prices(file)
    assert reason in str(caught.value)


def test_tokens_are_counted_as_openai_counts_them() -> None:
    assert load_tokenizer("cl100k_base").count("hello world") == 2
    assert load_tokenizer("o200k_base").count("hello world") == 2
    assert load_tokenizer("o200k_base").count("") == 0
    chinese = "怎么申请退款？"
    assert load_tokenizer("o200k_base").count(chinese) < load_tokenizer("cl100k_base").count(
        chinese
    )


def test_the_tokenizer_alone_counts_as_its_package_does_and_leaves_it_in_working_order() -> None:
    said = """
import sys
from finetune.prepare.tokens import load_tokenizer
texts = ["Hello  world", "短文？", "<|endoftext|>", "half \\ud83d of one", " \\n\\t", "x" * 99]
ours = {name: load_tokenizer(name).encode for name in ("cl100k_base", "o200k_base")}
assert "bpe_openai" not in sys.modules
import bpe_openai
for name, encode in ours.items():
    theirs = bpe_openai.get_encoding(name).encode_ordinary
    assert [encode(text) for text in texts] == [theirs(text) for text in texts]
"""
    subprocess.run([sys.executable, "-c", said], check=True)


def test_a_text_is_cut_to_whole_characters_within_the_limit() -> None:
    tokenizer = load_tokenizer("o200k_base")
    text = "你好 hello 🛏️ mattress " * 40
    for limit in (0, 1, 7, 50):
        start, end = tokenizer.cut(text, limit), tokenizer.cut(text, limit, keep="end")
        assert text.startswith(start)
        assert text.endswith(end)
        assert tokenizer.count(start) <= limit
        assert tokenizer.count(start + text[len(start)]) >= limit
    assert tokenizer.cut("short", 100) == "short"


def test_the_tokenizer_of_a_local_base_model_is_found_and_used(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "models" / "bases" / "tiny-chat-0123" / "training"
    folder.mkdir(parents=True)
    words = Tokenizer(models.WordLevel({"hello": 0, "[UNK]": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    found = find_local("tiny-chat", tmp_path)
    assert found == folder / "tokenizer.json"
    assert load_tokenizer(str(found)).count("hello my world") == 3
    assert find_local("another", tmp_path) is None
    with pytest.raises(NoTokenizerError, match="known are o200k_base"):
        load_tokenizer("gpt2")


def test_a_sample_reckons_the_tokens_of_many_examples_closely() -> None:
    tally = Tally(tokenizer=WORDS, expected=EXACT * 4)
    rows = 2000
    for _ in range(EXACT * 4 // rows):
        prompts = [" ".join("w" for _ in range(n % 9 + 1)) for n in range(rows)]
        tally.add(Batch(numbers=range(rows), prompts=prompts, completions=["a b"] * rows))
    assert tally.examples == EXACT * 4
    assert 0.9 * SAMPLE < tally.counted < 1.1 * SAMPLE
    assert tally.total == pytest.approx(tally.examples * 7, rel=0.02)
    assert 0 < tally.error_share < 0.02


@pytest.mark.parametrize(
    ("text", "language"),
    [("How long does the delivery take?", "en"), ("怎么申请退款", "zh"),
     ("Wie lange dauert das?", "de"),
     ("Как долго идёт доставка", "ru"), ("いつ届きますか", "ja"), ("배송은 언제", "ko"),
     ("¿Cuánto cuesta el envío para la casa?", "es"), ("12 345", "?")],
)  # fmt: skip
def test_the_language_is_told(text: str, language: str) -> None:
    assert tell_language(text) == language


def test_near_duplicates_are_found_and_different_texts_are_not() -> None:
    words = [f"word{n}" for n in range(400)]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 30)) for _ in range(300)]
    changed = [text.replace(text.split()[5], "other", 1) for text in texts[:100]]
    signatures = sign([*texts, *changed, *texts[:5], "", "ab"])
    wanted = np.ones(len(signatures), dtype=np.bool_)
    near = find_near(signatures, wanted)
    assert not near.is_near[:300].any()
    assert near.is_near[300:400].sum() > 75
    assert near.is_near[400:405].all()
    assert all(row == first + 300 for first, row in near.pairs[:5])
    assert not near.is_near[405:].any()


def test_signatures_do_not_depend_on_the_batch() -> None:
    texts = ["The first text of them", "", "短", "Another one\0 with a zero", "third " * 50]
    alone = np.concatenate([sign([text]) for text in texts])
    assert (sign(texts) == alone).all()
