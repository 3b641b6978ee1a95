"""Letters, counted for many texts at once as they would be one by one."""

from hypothesis import given
from hypothesis import strategies as st

from finetune.prepare.letters import count_letters


@given(st.lists(st.text(max_size=40)) | st.lists(st.text("aZ \0é", max_size=40)))
def test_capitals_and_small_letters_are_those_of_each_text(texts: list[str]) -> None:
    capitals, small = count_letters(texts)
    plain = [[letter for letter in text if letter.isalpha()] for text in texts]
    assert capitals.tolist() == [sum(map(str.isupper, letters)) for letters in plain]
    assert small.tolist() == [sum(map(str.islower, letters)) for letters in plain]
