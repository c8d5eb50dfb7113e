"""A table: 178 wines, 13 chemical measures; pairs of columns and the held-out likelihood."""

import matplotlib.pyplot as plt
from look import COLOURS, keep
from sklearn.datasets import load_wine
from sklearn.model_selection import KFold, cross_val_score, train_test_split

from ndsm import NDSM

PAIRS = [("alcohol", "color_intensity"), ("flavanoids", "hue"), ("proline", "malic_acid")]

table = load_wine(as_frame=True).data
x, held_out = train_test_split(table, test_size=60, random_state=0)
models = {
    "mixture alone": NDSM(objective="none", random_state=0),
    "NDSM": NDSM(random_state=0),
}
# One split says little of so few points: the score is that of six.
folds = KFold(6, shuffle=True, random_state=0)
scores = {name: cross_val_score(model, table, cv=folds) for name, model in models.items()}
drawn = {"held-out data": held_out.to_numpy()}
drawn |= {name: model.fit(x).sample(len(held_out)) for name, model in models.items()}

figure, panels = plt.subplots(1, 3, figsize=(7, 2.7))
for panel, pair in zip(panels, PAIRS, strict=True):
    first, second = (table.columns.get_loc(name) for name in pair)
    for (name, points), marker in zip(drawn.items(), "ox+", strict=True):
        label = f"{name}: {scores[name].mean():.2f} nats" if name in scores else name
        look = {"color": COLOURS[name], "markersize": 4, "alpha": 0.7, "label": label}
        panel.plot(points[:, first], points[:, second], marker, **look)
    panel.set(xlabel=pair[0].replace("_", " "), ylabel=pair[1].replace("_", " "))
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
keep(figure, __file__)
