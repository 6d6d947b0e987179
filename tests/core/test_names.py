"""Names of files that look the same, or come from Windows, are found; of a missing file a similar one is named."""

import unicodedata

import pytest

from fakevoice.core.names import find_names, find_path, similar_name

NFC = "가짜 é.ogg"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.mark.parametrize(("on_disk", "asked"), [(NFC, NFD), (NFD, NFC)])
def test_names_in_other_normal_forms_are_found(tmp_path, on_disk, asked):
    folder = unicodedata.normalize("NFD", "훈련")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / on_disk).touch()
    names = [f"{unicodedata.normalize('NFC', '훈련')}/{asked}", f".\\훈련\\{asked}", f"./{folder}/{on_disk}"]
    assert find_names(tmp_path, names) == [f"{folder}/{on_disk}"] * 3
    assert find_path(tmp_path / folder / asked).exists()


def test_a_backslash_is_part_of_a_name_where_such_a_file_exists(tmp_path):
    (tmp_path / "a\\b.ogg").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.ogg").touch()
    (tmp_path / "a" / "c.ogg").touch()
    assert find_names(tmp_path, ["a\\b.ogg", ".\\a\\c.ogg", "a\\d.ogg"]) == ["a\\b.ogg", "a/c.ogg", "a/d.ogg"]


@pytest.mark.parametrize(
    ("on_disk", "asked", "difference"),
    [
        ("Train.csv", "train.csv", "upper and lower case"),
        ("a b.csv", "ab.csv", "spaces"),
        ("a\u200b.csv", "a.csv", "characters that are not visible"),
        ("ａ.csv", "a.csv", "wide forms"),
    ],
)
def test_a_similar_name_is_told_with_its_difference(tmp_path, on_disk, asked, difference):
    (tmp_path / on_disk).touch()
    assert difference in similar_name(tmp_path / asked)
    assert similar_name(tmp_path / "other.csv") == similar_name(tmp_path / "nowhere" / "x") == ""
