"""Shapes in the plane: a pinwheel and three rings, 2,000 points each."""

import matplotlib.pyplot as plt
import numpy as np
from look import COLOURS, keep

from ndsm import NDSM
from ndsm.data.laws import pinwheel, rings

POINTS, SHOWN = 2000, 2000

figure, rows = plt.subplots(2, 3, figsize=(6.3, 4.4), sharex="row", sharey="row")
for panels, law in zip(rows, (pinwheel(), rings()), strict=True):
    generator = np.random.default_rng(0)
    x, held_out = law.sample(POINTS, generator)[0], law.sample(SHOWN, generator)[0]
    mixture = NDSM(objective="none", random_state=0).fit(x)
    model = NDSM(random_state=0).fit(x)
    shown = {
        "held-out data": (held_out, None),
        "mixture alone": (mixture.sample(SHOWN), mixture.score(held_out)),
        "NDSM": (model.sample(SHOWN), model.score(held_out)),
    }
    for panel, (name, (points, score)) in zip(panels, shown.items(), strict=True):
        panel.plot(*points.T, ".", markersize=1.2, alpha=0.5, color=COLOURS[name], rasterized=True)
        title = name if score is None else f"{name}: {score:.2f} nats"
        panel.set(title=title, aspect="equal", xticks=[], yticks=[])
keep(figure, __file__)
