"""The examples run and show something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_picture_of_factor_arithmetic(tmp_path: Path) -> None:
    """Every row has panels, and what is changed along a row changes the picture."""
    picture = tmp_path / "arithmetic.png"
    subprocess.run([sys.executable, EXAMPLES / "factor_arithmetic.py", picture], check=True, cwd=tmp_path)
    shown = np.asarray(Image.open(picture).convert("L"), np.float64)
    rows = shown.reshape(7, -1, 7, shown.shape[1] // 7)[:, 14:]
    assert (rows[:, :, 0].std(axis=(1, 2)) > 10).all()
    for number in (1, 2, 3, 6):  # traversals and the way between styles
        assert np.abs(rows[number, :, 0] - rows[number, :, 6]).mean() > 1
