"""Images of the user's own, PNG files or rows of pixels, as a table of principal components.

What is learned of images x, (n, side²), are their coordinates z in K principal components,

    z = (x - mean) basisᵀ,    x ≈ mean + z basis,

fitted on the pool alone: mean (side²,), basis (K, side²) with orthonormal rows. K is the fewest
that hold ``HELD`` of the pool's variance, and at most ``MOST_COMPONENTS``. The file of data has
``pixel_mean`` and ``pixel_basis``, and as ``pixels`` the first held-out images as they are.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ndsm.data.laws import Array
from ndsm.data.table_file import named, refuse_large
from ndsm.errors import Refused

if TYPE_CHECKING:
    from PIL.Image import Image

HELD = 0.9
FEWEST_COMPONENTS, MOST_COMPONENTS = 2, 16  # up to 16 columns likelihoods are exact
SIDES = (4, 64)  # pixels, as in the schema
SHOWN = 12  # held-out images that are kept as they are
WILDCARDS = {*"{}<>"}  # characters that the path of an input cannot have


@dataclass(frozen=True)
class Images:
    """Images and their principal components.

    Attributes:
        pixels: (n, side²).
        mean: of the pool, (side²,).
        basis: the components, (K, side²).
        share: of the pool's variance that they hold.
    """

    pixels: Array
    mean: Array
    basis: Array
    share: float

    @property
    def side(self) -> int:
        """In pixels."""
        return round(len(self.mean) ** 0.5)

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the components."""
        return tuple(f"pc{k + 1}" for k in range(len(self.basis)))

    @property
    def coordinates(self) -> Array:
        """Of each image, (n, K)."""
        return (self.pixels - self.mean) @ self.basis.T

    @property
    def said(self) -> str:
        """What a reader of the answers must know."""
        return (
            f"Each row is an image of {self.side} × {self.side} pixels, learned by its coordinates "
            f"in {len(self.basis)} principal components. These hold {self.share:.1%} of the "
            "variance of the images to train on. Every answer is about them, and not about what "
            "they leave out of the pixels."
        )

    def arrays(self, held_out: Array) -> dict[str, Array]:
        """What the file of data has besides; ``held_out`` are numbers of images."""
        shown = self.pixels[held_out[:SHOWN]]
        return {"pixel_mean": self.mean, "pixel_basis": self.basis, "pixels": shown}


def of_pixels(path: Path, pixels: Array, pool: Array, side: int | None) -> Images:
    """Rows of pixels as images.

    Args:
        path: where they are from.
        pixels: (n, side²).
        pool: numbers of the images to train on.
        side: that which is asked for, if any.

    Raises:
        Refused: their number is not that of a square of this side, or they are all alike.
    """
    from sklearn.decomposition import PCA

    count = pixels.shape[1]
    if side and side**2 != count:
        fits = round(count**0.5)
        remedy = f"image_side: {fits} would fit" if fits**2 == count else "name those of pixels"
        given = f"{count} columns of numbers, where images of {side} × {side} have {side**2}"
        raise Refused(f"{path}: {given}; {remedy}, or take label: for a column of classes")
    pixels = np.ascontiguousarray(pixels)  # a table and a folder alike, to the last digit
    with np.errstate(invalid="ignore"):  # of images that are all the same
        found = PCA(svd_solver="full").fit(pixels[pool])
    least = 1e-9 * np.abs(pixels[pool]).max()
    if found.explained_variance_[FEWEST_COMPONENTS - 1] <= least**2:
        said = "the images to train on are all alike, or differ in one way"
        raise Refused(f"{path}: {said}; give images that differ in {FEWEST_COMPONENTS} or more")
    held = found.explained_variance_ratio_.cumsum()
    k = int(np.clip((held < HELD).sum() + 1, FEWEST_COMPONENTS, MOST_COMPONENTS))
    return Images(pixels, found.mean_, found.components_[:k], float(held[k - 1]))


def files(path: Path) -> list[Path]:
    """The PNG files of a folder, by name; hidden ones are none."""
    return [entry for entry in _entries(path) if entry.suffix.lower() == ".png"]


def _entries(path: Path) -> list[Path]:
    """What lies in a folder and is not hidden, by name."""
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))


def refuse_keys(path: Path, **given: Any) -> None:
    """Refuses what says something of columns, which a folder does not have."""
    for key, value in given.items():
        if value not in (None, ()):
            what = f"{key}: {value!r} with a folder, whose images have no columns"
            raise Refused(f"{path}: {what}; leave {key} out, or give a table")


def folder(path: Path, side: int | None = None) -> tuple[Array, list[str]]:
    """The grey values, 0 to 255, of the PNG files in a folder, (n, side²), and what to know.

    Args:
        path: the folder.
        side: that which is asked for, if any.

    Raises:
        Refused: one line that names the folder or file, and the remedy.
    """
    try:
        inner = [entry.name for entry in _entries(path) if entry.is_dir()]
        there = files(path)
        others = sorted({entry.name for entry in _entries(path)} - {file.name for file in there})
    except OSError as problem:
        raise Refused(f"{path}: cannot be read ({problem.strerror or problem})") from None
    if inner:
        raise Refused(f"{path}: holds folders ({named(inner)}); put all images into one folder")
    if not there:
        remedy = "give a folder of images, or the path of a table"
        raise Refused(f"{path}: is a folder without PNG files; {remedy}")
    if strange := [file.name for file in there if WILDCARDS & {*file.name}]:
        taken = "one of { } < >, which Snakemake takes for wildcards"
        raise Refused(f"{path}: {strange[0]!r} has {taken}; rename the file")
    found = _side(path, there)
    if side not in (None, found):
        given = f"image_side: {side}, but its images are of {found} × {found} pixels"
        raise Refused(f"{path}: {given}; leave image_side out")
    refuse_large(path, len(there), found**2)
    pixels, coloured = np.empty((len(there), found**2)), 0
    for row, file in zip(pixels, there, strict=True):
        with _png(file) as image:
            grey = image.mode in ("1", "L") or image.mode.startswith("I")
            row[:] = np.asarray(image if image.mode.startswith("I") else image.convert("L")).ravel()
            row /= 257 if image.mode.startswith("I") else 1  # of 16 bits
        coloured += not grey
    notes = [f"{coloured} of {len(pixels)} images were turned to grey."] * bool(coloured)
    if others:
        notes.append(f"Left out of the folder, for it is no PNG file: {named(others)}.")
    return pixels, notes


def _side(path: Path, there: list[Path]) -> int:
    """That of all images; only their heads are read."""
    sizes = dict[tuple[int, int], str]()
    for file in there:
        with _png(file) as image:
            sizes.setdefault(image.size, file.name)
        if len(sizes) > 1:
            two = " and ".join(f"{name} has {w} × {h}" for (w, h), name in sizes.items())
            raise Refused(f"{path}: images of different sizes: {two} pixels; make them of one size")
    [((width, height), name)] = sizes.items()
    said = f"its images, as {name}, are of {width} × {height} pixels"
    if width != height:
        raise Refused(f"{path}: {said}; crop them to squares")
    if not SIDES[0] <= width <= SIDES[1]:
        limits = f"allowed: sides from {SIDES[0]} to {SIDES[1]}"
        raise Refused(f"{path}: {said}; {limits}; scale them")
    return width


@contextmanager
def _png(path: Path) -> Iterator["Image"]:
    """A PNG file, opened; turns what its reader raises into a refusal."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on transparency and on sizes that are refused below
            with Image.open(path, formats=["PNG"]) as image:
                yield image
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise Refused(f"{path}: is no PNG file; replace or remove it") from None
    except Exception as problem:  # what it raises on a damaged file has no class in common
        said = " ".join(str(problem).split())[:120] or type(problem).__name__
        raise Refused(f"{path}: cannot be read as PNG ({said}); replace or remove it") from None
