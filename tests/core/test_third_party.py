"""Imports of libraries that need preparation."""

from fakevoice.core import third_party


def test_nothing_is_prepared_where_torchvision_is_not_installed(monkeypatch):
    def fail(name: str):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(third_party, "find_spec", lambda name: None)
    monkeypatch.setattr(third_party, "import_module", fail)
    third_party.ready_torchvision()
    assert third_party.import_transformers().__name__ == "transformers"
