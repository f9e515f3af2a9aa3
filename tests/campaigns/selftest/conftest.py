import pytest

from tests.campaigns.kit import Clock, composition


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock())
