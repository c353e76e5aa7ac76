"""These tests compare with reference numbers and real pictures that lie beside the repository, not in it."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def pytest_collection_modifyitems(items):
    if not SHARED.is_dir():
        skip = pytest.mark.skip(reason="reference data (a folder 'shared' beside the repository) is not here")
        for item in items:
            if Path(__file__).parent in Path(item.fspath).parents:
                item.add_marker(skip)


@pytest.fixture
def shared() -> Path:
    return SHARED
