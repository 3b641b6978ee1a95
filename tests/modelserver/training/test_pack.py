"""Packed sequences are computed as if each stood alone, and nothing is computed twice."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelserver.bases import Base
from modelserver.training import objective
from modelserver.training.corpus import Corpus
from modelserver.training.model import load_model, trained_logprobs
from modelserver.training.pack import make_packs

MARKED = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30)


def corpus_of(*sequences: list[tuple[int, bool]]) -> Corpus:
    """Sequences of (token, is trained); the first token of each is never trained."""
    tokens = [token for sequence in sequences for token, _ in sequence]
    marks = [
        mark and place > 0 for sequence in sequences for place, (_, mark) in enumerate(sequence)
    ]
    places = np.cumsum([0, *map(len, sequences)])
    return Corpus(
        tokens=np.array(tokens, dtype=np.int32),
        marks=np.array(marks, dtype=np.uint8),
        places=places,
        skipped=0,
    )


def exact_model(base: Base) -> torch.nn.Module:
    """In float32, whatever is fast on this machine: bfloat16 rounds at the third digit."""
    return load_model(base, base.training_dir, seed=0).float()


def learnt(random: np.random.Generator, size: int) -> list[tuple[int, bool]]:
    """Random tokens, trained on from the sixth."""
    return [(int(token), place > 4) for place, token in enumerate(random.integers(3, 250, size))]


@given(st.lists(MARKED, min_size=1, max_size=8), st.integers(1, 60))
def test_every_trained_token_is_in_one_pack_after_its_own_context(sequences, places) -> None:
    corpus = corpus_of(*sequences)
    packs = list(make_packs(corpus, np.arange(len(corpus)), places=places))
    assert sum(len(pack.targets) for pack in packs) == corpus.trained_tokens()
    assert sum(pack.token_count for pack in packs) == len(corpus.tokens)
    first = 0
    for pack in packs:
        for reader, target, row in zip(pack.readers, pack.targets, pack.rows, strict=True):
            sequence = corpus.sequence(first + int(row))[0]
            seen = pack.ids[0, pack.can_see[0, 0, reader]].tolist()
            assert seen == sequence[: len(seen)].tolist()
            assert int(target) == sequence[len(seen)]
            assert pack.positions[0, reader] == len(seen) - 1
        first += pack.row_count


@given(st.lists(MARKED, min_size=1, max_size=8).map(lambda rows: rows * 2), st.integers(1, 60))
def test_neighbours_that_belong_together_are_not_parted(sequences, places) -> None:
    corpus = corpus_of(*sequences)
    packs = make_packs(corpus, np.arange(len(corpus)), together=2, places=places)
    assert all(pack.row_count % 2 == 0 for pack in packs)


def test_what_all_begin_with_is_computed_once() -> None:
    prompt = [(n, False) for n in range(50)]
    corpus = corpus_of(*([*prompt, (60 + n, False), (70, True)] for n in range(4)))
    (pack,) = make_packs(corpus, np.arange(4))
    assert pack.ids.shape == (1, 50 + 4 * 2)
    assert pack.token_count == 4 * 52


def test_packs_keep_to_their_bound() -> None:
    corpus = corpus_of(*([(n, False)] * 40 + [(1, True)] for n in range(10)))
    packs = list(make_packs(corpus, np.arange(10), places=100))
    assert all(pack.ids.shape[1] <= 100 for pack in packs)


def test_a_packed_sequence_has_the_logprobs_that_it_has_alone(base: Base) -> None:
    model = exact_model(base).eval()
    random = np.random.default_rng(0)
    shared = [(int(n), False) for n in random.integers(3, 250, 20)]
    corpus = corpus_of(
        *(
            [
                *shared,
                *((int(n), place > 4) for place, n in enumerate(random.integers(3, 250, size))),
            ]
            for size in (9, 30, 17)
        )
    )
    with torch.no_grad():
        (pack,) = make_packs(corpus, np.arange(3))
        together, _ = trained_logprobs(model, pack)
        for row in range(3):
            (single,) = make_packs(corpus, np.array([row]))
            alone, _ = trained_logprobs(model, single)
            torch.testing.assert_close(together[pack.rows == row], alone, rtol=1e-4, atol=1e-5)
            tokens, marks = corpus.sequence(row)
            logits = model(input_ids=torch.from_numpy(tokens.astype(np.int64))[None]).logits[0]
            places = torch.from_numpy(np.flatnonzero(marks))
            plain = logits.log_softmax(-1)[places - 1, torch.from_numpy(tokens[places]).long()]
            torch.testing.assert_close(alone, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("places", [1, 60, 10_000])
def test_a_step_is_the_same_however_it_is_packed(base: Base, places: int) -> None:
    model = exact_model(base)
    random = np.random.default_rng(1)
    corpus = corpus_of(
        *(
            [(int(n), place > 4) for place, n in enumerate(random.integers(3, 250, 20))]
            for _ in range(5)
        )
    )

    def gradients(places: int) -> list[torch.Tensor]:
        model.zero_grad()
        for pack in make_packs(corpus, np.arange(5), places=places):
            objective.sft(model, pack).loss.backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    for got, expected in zip(gradients(places), gradients(30), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)


def test_in_bfloat16_the_adapter_learns_in_the_same_direction_and_stays_wide(base: Base) -> None:
    corpus = corpus_of(*(learnt(np.random.default_rng(2), 20) for _ in range(4)))

    def gradient(model: torch.nn.Module) -> torch.Tensor:
        torch.manual_seed(3)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:  # zero at first, which would leave half of the gradients zero
                torch.nn.init.normal_(parameter, std=0.02)
        (pack,) = make_packs(corpus, np.arange(4))
        objective.sft(model, pack).loss.backward()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        assert {parameter.dtype for parameter in trained} == {torch.float32}
        return torch.cat([parameter.grad.flatten() for parameter in trained])

    narrow = load_model(base, base.training_dir, seed=0, precision="bfloat16")
    similarity = torch.cosine_similarity(gradient(narrow), gradient(exact_model(base)), dim=0)
    assert float(similarity) > 0.99
