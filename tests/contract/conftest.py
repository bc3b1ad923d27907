from typing import Any

import pytest

from mezzotint import catalog


@pytest.fixture
def digits(request: pytest.FixtureRequest, still: Any, moving: Any) -> Any:
    """What the recipe `name` of the test learns from: digits, or digits that move."""
    call = getattr(request.node, "callspec", None)
    name = call.params.get("name") if call else None
    return moving if name in catalog.RECIPES and catalog.entry(name).clips else still
