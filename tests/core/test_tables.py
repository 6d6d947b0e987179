"""Ids stay text, numbers keep all digits."""

import numpy as np
import pandas as pd
import pytest

from fakevoice.core.errors import ArtifactError
from fakevoice.core.tables import read_table, write_table

IDS = ["001", "NA", "null", "1e5", "nan", "None", "", "TRUE", " x ", "a,b", 'say "a"', "é", "0x1f", "-inf"]


def test_ids_survive_a_round_trip(tmp_path):
    write_table(tmp_path / "a.csv", pd.DataFrame({"id": IDS, "fold": range(len(IDS))}))
    table = read_table(tmp_path / "a.csv", ("id",))
    assert table["id"].tolist() == IDS
    assert table["fold"].tolist() == list(range(len(IDS)))


def test_floats_keep_all_digits(tmp_path):
    values = np.random.default_rng(0).standard_normal(100) * 10.0 ** np.arange(-50, 50)
    write_table(tmp_path / "a.csv", pd.DataFrame({"x": values}))
    assert np.array_equal(read_table(tmp_path / "a.csv")["x"], values)


def test_a_missing_number_stays_missing(tmp_path):
    write_table(tmp_path / "a.csv", pd.DataFrame({"id": ["a", "b"], "snr_db": [1.5, np.nan]}))
    assert read_table(tmp_path / "a.csv", ("id",))["snr_db"].isna().tolist() == [False, True]


def test_equal_tables_give_equal_bytes(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "x": [0.1, 1 / 3]})
    write_table(tmp_path / "a.csv", table)
    write_table(tmp_path / "b.csv", read_table(tmp_path / "a.csv", ("id",)))
    assert (
        (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == f"id,x\na,0.1\nb,{1 / 3!r}\n".encode()
    )


@pytest.mark.parametrize("content", [None, b"", b"a,b\n1,2,3\n1\n4,5,6,7\n", b"\xff\xfe"])
def test_what_is_no_table_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.csv"):
        read_table(tmp_path / "a.csv")
