# SPDX-License-Identifier: Apache-2.0
"""Embeddings in two dimensions: principal components in NumPy, t-SNE and UMAP where installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from object2vec.errors import CustomerError
from object2vec.text import names, quoted

PCA, TSNE, UMAP = PROJECTIONS = ("pca", "tsne", "umap")
MOST_OF_TSNE = 5000
#: What places are counted in, as the page's script does.
WHOLE = 65535
_SEED = 1
_FEWEST = 5
# t-SNE and UMAP start from so many principal components: the rest is noise to them, and costs time.
_COMPONENTS = 50
# From this width on, principal components come from random ones instead of all.
_WIDE = 1024
_PACKAGES = {TSNE: "sklearn", UMAP: "umap"}
_INSTALLED_BY = {TSNE: "scikit-learn", UMAP: "umap-learn"}


@dataclass(frozen=True, eq=False)
class Projection:
    """A map of embeddings.

    Parameters
    ----------
    title, note : str
        What it is called, and what has to be known of it.
    places : numpy.ndarray
        uint16, shape ``(m, 2)``: x and y, of which one reaches from 0 to `WHOLE`, to one scale.
    objects : numpy.ndarray, optional
        int, shape ``(m,)``: whose they are; None for all in their order.
    """

    title: str
    note: str
    places: np.ndarray
    objects: Optional[np.ndarray] = None


def installed() -> list[str]:
    """The projections that can be computed here."""
    return [
        name
        for name in PROJECTIONS
        if name not in _PACKAGES or importlib.util.find_spec(_PACKAGES[name]) is not None
    ]


def check_projections(given: Optional[Sequence[str]]) -> list[str]:
    """The projections to compute: those given, or all that can be.

    Raises
    ------
    CustomerError
        One is not known, or its package is not installed.
    """
    if given is None:
        return installed()
    for name in given:
        if name not in PROJECTIONS:
            raise CustomerError(
                f"A projection must be one of {names(PROJECTIONS)}, found {quoted(name)}."
            )
        if name not in installed():
            package = _INSTALLED_BY[name]
            raise CustomerError(
                f"The projection {name} needs {package}: pip install {package} 'numpy<2'."
            )
    return list(dict.fromkeys(given)) or [PCA]


def projections(vectors: np.ndarray, wanted: Sequence[str]) -> list[Projection]:
    """Compute maps.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32, shape ``(n, width)``.
    wanted : sequence of str
        Of `PROJECTIONS`. Of less than five vectors only principal components have a meaning.

    Returns
    -------
    list of Projection
        The one that shows neighbourhoods best comes first, but one of some objects behind those of
        all.
    """
    made: dict[str, Callable[[np.ndarray, np.ndarray, float], Projection]] = {
        TSNE: lambda _, components, __: _tsne(components),
        UMAP: lambda _, components, __: _umap(components),
        PCA: _pca,
    }
    count = max(2, min(_COMPONENTS, *vectors.shape))
    components, share = principal_components(vectors, count)
    asked = [PCA] if len(vectors) < _FEWEST else wanted
    found = [make(vectors, components, share) for name, make in made.items() if name in asked]
    return sorted(found, key=lambda projection: projection.objects is not None)


def principal_components(vectors: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The coordinates of vectors along the directions in which they differ most.

    Of many wide vectors the directions are found by powers of the covariance of random ones (Halko,
    Martinsson and Tropp, 2011, algorithm 4.4), which takes no matrix of width times width.

    Parameters
    ----------
    vectors : numpy.ndarray
        Shape ``(n, width)``.
    count : int
        How many; where there are fewer directions the others are 0.

    Returns
    -------
    components : numpy.ndarray
        float32, shape ``(n, count)``; of each the largest loading is positive.
    share : float
        That of the variance in the first two.
    """
    centred = vectors.astype(np.float32) - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows, width = centred.shape
    if rows < width and rows <= _WIDE:
        values, places = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        order = np.argsort(-values, kind="stable")[:count]
        components = places[:, order] * np.sqrt(np.maximum(values[order], 0))
        loadings = centred.T @ components.astype(np.float32)
    else:
        loadings = _directions(centred, count)
        components = centred @ loadings
    signs = np.sign(loadings[np.argmax(np.abs(loadings), axis=0), np.arange(loadings.shape[1])])
    components = (components * signs).astype(np.float32)
    missing = count - components.shape[1]
    if missing > 0:
        components = np.pad(components, ((0, 0), (0, missing)))
    total = float(np.square(centred, dtype=np.float64).sum())
    share = float(np.square(components[:, :2], dtype=np.float64).sum()) / total if total else 0.0
    return components, min(share, 1.0)


def _directions(centred: np.ndarray, count: int) -> np.ndarray:
    """The directions in which rows differ most, float32 ``(width, count)``, each of length 1."""
    width = centred.shape[1]
    if width <= _WIDE:
        values, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        return directions[:, np.argsort(-values, kind="stable")[:count]].astype(np.float32)
    rng = np.random.default_rng(_SEED)
    base = rng.normal(size=(width, min(count + 10, width))).astype(np.float32)
    for _ in range(6):
        base, _ = np.linalg.qr(centred.T @ (centred @ base))
    _, _, rotation = np.linalg.svd(centred @ base, full_matrices=False)
    return (base @ rotation[:count].T).astype(np.float32)


def _pca(vectors: np.ndarray, components: np.ndarray, share: float) -> Projection:
    note = f"The first two principal components hold {share:.0%} of the variance."
    return Projection("Principal components", note, _whole(components[:, :2]))


def _tsne(components: np.ndarray) -> Projection:
    from sklearn.manifold import TSNE as Tsne

    objects = None
    note = "t-SNE keeps neighbours together; distances between groups mean little."
    if len(components) > MOST_OF_TSNE:
        rng = np.random.default_rng(_SEED)
        objects = np.sort(rng.permutation(len(components))[:MOST_OF_TSNE])
        note += f" It shows {MOST_OF_TSNE:,} of the objects, drawn at random."
        components = components[objects]
    perplexity = min(30.0, (len(components) - 1) / 3)
    found = Tsne(init="pca", perplexity=perplexity, random_state=_SEED).fit_transform(components)
    return Projection("t-SNE", note, _whole(found), objects)


def _umap(components: np.ndarray) -> Projection:
    from umap import UMAP as Umap

    neighbours = min(15, len(components) - 1)
    found = Umap(n_neighbors=neighbours, random_state=_SEED, n_jobs=1).fit_transform(components)
    note = "UMAP keeps neighbours together; distances between groups mean little."
    return Projection("UMAP", note, _whole(found))


def _whole(places: np.ndarray) -> np.ndarray:
    """Both axes to one scale, the longer one from 0 to `WHOLE`."""
    low = places.min(axis=0)
    span = float((places.max(axis=0) - low).max()) or 1.0
    return np.rint((places - low) * (WHOLE / span)).clip(0, WHOLE).astype(np.uint16)
