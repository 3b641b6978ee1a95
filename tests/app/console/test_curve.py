import re

import pytest

from app.console.curve import draw_curve


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (4.2, ["0", "1", "2", "3", "4", "5"]),
        (2.3, ["0", "0.5", "1", "1.5", "2", "2.5"]),
        (0.03, ["0", "0.01", "0.02", "0.03"]),
        (13.0, ["0", "5", "10", "15"]),
        (0.0, ["0", "0.001"]),
    ],
)
def test_losses_are_read_off_round_numbers(most: float, ticks: list[str]) -> None:
    drawn = draw_curve([(1, most), (2, most / 2)], [], label="Loss")
    assert re.findall(r'text-anchor="end">([\d.]+)<', drawn)[:-1] == ticks


def test_steps_to_come_are_left_blank() -> None:
    half_way = draw_curve([(1, 2.0), (50, 1.0)], [], label="Loss", until=100)
    assert ">100<" in half_way
    assert re.findall(r'class="train" d="M\S+ L([\d.]+)', half_way) == ["377.0"]  # of 44 to 710
