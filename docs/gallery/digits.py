"""Images: 1,400 handwritten digits of 8 × 8 pixels, and below them the nearest of training."""

import matplotlib.pyplot as plt
import numpy as np
from look import keep
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from ndsm import NDSM

SHOWN = 14

x, held_out = train_test_split(load_digits().data / 16, train_size=1400, random_state=0)
mixture = NDSM(objective="none", covariance="spherical", random_state=0).fit(x)
model = NDSM(covariance="spherical", evaluations=400_000, random_state=0).fit(x)
training = NearestNeighbors(n_neighbors=1).fit(x)
kinds = {"held-out data": held_out}
kinds |= {"mixture alone": mixture.sample(len(held_out)), "NDSM": model.sample(len(held_out))}
rows = {
    f"{name}: {training.kneighbors(images)[0].mean():.2f}": images[:SHOWN]
    for name, images in kinds.items()
}
nearest = training.kneighbors(kinds["NDSM"][:SHOWN], return_distance=False)[:, 0]
rows["nearest in training"] = x[nearest]
figure, panels = plt.subplots(len(rows), 1, figsize=(7, 2.5))
for panel, (name, images) in zip(panels, rows.items(), strict=True):
    strip = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)), constant_values=0.3)
    panel.imshow(np.concatenate(list(strip), axis=1), cmap="gray_r", vmin=0, vmax=1)
    panel.set(xticks=[], yticks=[])
    panel.set_ylabel(name, rotation=0, ha="right", va="center")
    panel.spines[:].set_visible(False)
keep(figure, __file__)
