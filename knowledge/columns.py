"""Columns: the names that tables give to questions and to answers."""

QUESTION_COLUMNS = {
    "question", "questions", "q", "query", "prompt", "input", "instruction", "user", "customer",
    "问题", "问", "提问", "问句", "标准问", "标准问题", "客户问题", "用户问题", "問題",
}  # fmt: skip
ANSWER_COLUMNS = {
    "answer", "answers", "a", "completion", "response", "reply", "output", "assistant",
    "答案", "答", "回答", "回复", "答复", "标准答案", "标准回答", "回覆",
}  # fmt: skip
