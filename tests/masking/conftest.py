"""Each test begins without a secret that somebody else's test or environment taught."""

import pytest

from otel_workflow.masking import texts


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_registry", type(texts._registry)())
