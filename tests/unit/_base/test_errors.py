import pytest

from lakemark._base.errors import InvalidInputError, LakemarkError, NotFoundError, StorageError, nearest


def test_an_error_shows_its_hint_behind_an_empty_line() -> None:
    error = NotFoundError("no run abcd", hint="lakemark runs", run="abcd")
    assert str(error) == "no run abcd\n\nhint: lakemark runs"
    assert error.context == {"run": "abcd"}


@pytest.mark.parametrize(
    ("kind", "builtin"), [(NotFoundError, LookupError), (InvalidInputError, ValueError), (StorageError, OSError)]
)
def test_an_error_is_also_the_builtin_one(kind: type[LakemarkError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin):
        raise kind("what happened")


def test_the_nearest_name_is_found_or_none() -> None:
    assert nearest("flihgts", ["planes", "flights"]) == "flights"
    assert nearest("in", ["string", "integer"]) == "integer"
    assert nearest("zzz", ["planes", "flights"]) is None
