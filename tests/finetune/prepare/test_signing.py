"""Signatures that a process beside makes are those that would be made here."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from finetune.prepare.batch import Batch
from finetune.prepare.near import sign
from finetune.prepare.signing import Signer
from finetune.prepare.spill import Spill

TEXTS = [f"Where is parcel {number}, 几号到?"[number % 5 :] for number in range(70)]


@pytest.fixture
def spill(tmp_path: Path) -> Iterator[Spill]:
    filled = Spill(tmp_path)
    yield filled
    filled.close()


def _fill(spill: Spill, signer: Signer) -> None:
    """Ten batches, one of them empty, and one that is not told of before the next."""
    for first in range(0, 70, 7):
        texts = [] if first == 28 else TEXTS[first : first + 7]
        spill.add(Batch(numbers=range(len(texts)), prompts=texts, completions=texts))
        if first != 49:
            signer.follow()


def _expected() -> list[list[int]]:
    return sign([f"{text}\n{text}" for text in TEXTS[:28] + TEXTS[35:]]).tolist()


def test_a_process_signs_what_is_spilled_in_its_order(spill: Spill) -> None:
    signer = Signer(spill)
    _fill(spill, signer)
    assert signer.is_beside
    assert signer.finish().tolist() == _expected()
    signer.close()


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/python"])
def test_a_process_that_dies_or_does_not_start_costs_no_signature(
    spill: Spill, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    signer = Signer(spill)
    _fill(spill, signer)
    assert signer.finish().tolist() == _expected()
    signer.close()


def test_of_nothing_there_are_no_signatures(spill: Spill) -> None:
    signer = Signer(spill)
    signer.follow()
    signatures = signer.finish()
    assert signatures.shape == (0, 12)
    assert signatures.dtype == np.uint16
    signer.close()
