"""The sample shop, Linnet & Moss Mattresses: documents, pairs to review, and held-out questions.

documents/*.md    what the shop tells its customers
pairs.jsonl       30 facts, each asked by two customers; a few with a draft to edit or reject
questions.jsonl   other wordings of the same questions, and 20 that the shop cannot answer:
                  none of them is ever trained on
"""

from pathlib import Path

FOLDER = Path(__file__).parent
DOCUMENTS = FOLDER / "documents"
PAIRS = FOLDER / "pairs.jsonl"
QUESTIONS = FOLDER / "questions.jsonl"
