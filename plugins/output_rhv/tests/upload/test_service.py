# SPDX-License-Identifier: GPL-2.0-or-later
"""The check of nbdkit's Python: the error says what is wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_core.api import DestinationError
from v2v_output_rhv.upload import service


def test_the_exception_of_the_script_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With another Python first on PATH, nbdkit's own cannot load ssl; the last line of nbdkit does not say so."""
    broken = tmp_path / "script.py"
    broken.write_text("raise ImportError('_ssl.so: undefined symbol: _PyModule_Add')\n")
    monkeypatch.setattr(service, "_SCRIPT", broken)
    with pytest.raises(DestinationError, match=r"nbdkit: ImportError: _ssl\.so: undefined symbol") as refused:
        service.check_client()
    assert "PATH" in (refused.value.hint or "")
