"""Recipes: the shapes of task that tuning is used for, each with a sample to look at."""

from finetune.prepare.errors import PrepareError
from finetune.prepare.recipes.answering import NEGATIVE, QUESTION_ANSWERING
from finetune.prepare.recipes.labels import CLASSIFICATION, EXTRACTION, SENTIMENT
from finetune.prepare.recipes.recipe import Recipe
from finetune.prepare.recipes.support_chat import SUPPORT_CHAT

RECIPES = {
    recipe.name: recipe
    for recipe in (
        QUESTION_ANSWERING,
        NEGATIVE,
        SENTIMENT,
        CLASSIFICATION,
        EXTRACTION,
        SUPPORT_CHAT,
    )
}


class NoSuchRecipeError(PrepareError):
    """The message names those there are."""


def find_recipe(name: str) -> Recipe:
    """
    Raises:
        NoSuchRecipeError
    """
    if name not in RECIPES:
        raise NoSuchRecipeError(f"there is no recipe {name}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


__all__ = ["RECIPES", "NoSuchRecipeError", "Recipe", "find_recipe"]
