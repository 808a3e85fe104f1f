"""A guess at the word that was meant."""

from core.suggest import nearest, suggestion

KNOWN = ("engine", "mirrors", "artifacts")


def test_a_near_word_is_suggested() -> None:
    assert nearest("engin", KNOWN) == "engine"
    assert suggestion("engin", KNOWN) == " Perhaps you meant 'engine'."


def test_nothing_is_suggested_for_a_word_like_no_other() -> None:
    assert nearest("xyz", KNOWN) == ""
    assert suggestion("xyz", KNOWN) == ""


def test_the_cutoff_says_how_near() -> None:
    assert suggestion("mir", KNOWN, cutoff=0.9) == ""
    assert suggestion("mir", KNOWN) == " Perhaps you meant 'mirrors'."
