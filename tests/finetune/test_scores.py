from finetune.scores import chrf


def test_the_same_text_scores_a_hundred_in_both_languages() -> None:
    assert chrf("We deliver in 5 days.", "We deliver in 5 days.") == 100
    assert chrf("五天内送货上门。", "五天内送货上门。") == 100


def test_a_nearer_answer_scores_higher() -> None:
    reference = "本店床垫保修十年。"
    assert (
        chrf("床垫保修十年。", reference)
        > chrf("床垫保修两年。", reference)
        > chrf("你好", reference)
    )
