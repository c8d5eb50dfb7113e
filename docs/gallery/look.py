"""What the pictures of the gallery share: one row of panels, small files, one colour for each."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

# Held-out data, the mixture alone (the null), NDSM's samples: safe for colour-blind readers.
COLOURS = {"held-out data": "#444444", "mixture alone": "#D55E00", "NDSM": "#0072B2"}
plt.rcParams.update({"font.size": 8, "axes.titlesize": 8, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})


def keep(figure: Figure, script: str) -> None:
    """Writes the picture of a script beside it."""
    figure.savefig(Path(script).with_suffix(".png"), dpi=110)
