# SPDX-License-Identifier: Apache-2.0
"""Where the demo's film ratings come from: a folder, GroupLens, or a generator without network."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATA_VARIABLE = "OBJECT2VEC_DATA"
FOLDER = "ml-100k"
URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
TERMS = (
    "MovieLens 100K belongs to GroupLens: free for research, not to be redistributed or used\n"
    "commercially without their permission. F. M. Harper and J. A. Konstan, 2015, The MovieLens\n"
    "Datasets: History and Context, https://doi.org/10.1145/2827872"
)
SHA256 = {
    "ua.base": "67b5bcdb380c29f85d56a012ecd88612ae020f30a6730d117a334ee8203b91f2",
    "ua.test": "d0497e202417720f57a184ec8c66be2d1afa4ff41bb53787c57b28d6bf79bc42",
    "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
}
# Star Wars, The Lion King, Pulp Fiction: well known, well rated, and far apart.
_MOVIELENS_FILMS = (50, 71, 56)
_TIMEOUT_SECONDS = 20
_KINDS = ("Comedy", "Thriller", "Western", "Romance", "Cartoon", "Musical")


class _Unusable(Exception):
    """The real ratings cannot be had; the message says why."""


@dataclass(frozen=True)
class Ratings:
    """Ratings of films by people, split as published.

    Parameters
    ----------
    train, validation : numpy.ndarray
        int64 ``(n, 3)``: person, film, rating from 1 to 5; people and films count from 1.
    titles : dict of int to str
        Title of each film.
    films : tuple of int
        Three films worth looking at.
    origin : str
        Where the ratings come from.
    terms : str
        What their owner asks; empty for generated ones.
    """

    train: np.ndarray
    validation: np.ndarray
    titles: dict[int, str]
    films: tuple[int, ...]
    origin: str
    terms: str = ""

    @property
    def people(self) -> int:
        """Highest number of a person."""
        return int(max(self.train[:, 0].max(), self.validation[:, 0].max()))


def load_ratings(say: Callable[[str], None]) -> Ratings:
    """MovieLens 100K from ``OBJECT2VEC_DATA/ml-100k`` or from GroupLens, else generated ratings.

    Parameters
    ----------
    say : callable
        Receives lines for the user.
    """
    folder = os.environ.get(DATA_VARIABLE)
    try:
        if folder and (Path(folder) / FOLDER).is_dir():
            place = Path(folder) / FOLDER
            return _movielens(_from_folder(place), f"MovieLens 100K from {place}")
        say(f"Downloading MovieLens 100K (5 MB) from {URL}")
        return _movielens(_from_archive(_download()), "MovieLens 100K from GroupLens")
    except _Unusable as reason:
        say(f"{reason}, so the ratings are GENERATED: made-up people and films with hidden tastes.")
        return generate()


def generate(people: int = 500, films: int = 300, ratings: int = 40000, seed: int = 1) -> Ratings:
    """Make ratings up: each person has a taste for kinds of films, each film a quality.

    Parameters
    ----------
    people, films, ratings : int
        How many; a pair is rated at most once.
    seed : int
        The same seed gives the same ratings.
    """
    random = np.random.default_rng(seed)
    kinds = random.integers(len(_KINDS), size=films)
    taste = random.normal(0.0, 1.0, (people, len(_KINDS)))
    mood, quality = random.normal(0.0, 0.3, people), random.normal(0.0, 0.4, films)
    cells = random.choice(people * films, size=ratings, replace=False)
    person, film = cells // films, cells % films
    liking = 3.4 + taste[person, kinds[film]] + mood[person] + quality[film]
    stars = np.clip(np.rint(liking + random.normal(0.0, 0.5, ratings)), 1, 5).astype(np.int64)
    table = np.stack([person + 1, film + 1, stars], axis=1)
    cut = ratings // 10
    return Ratings(
        table[cut:],
        table[:cut],
        {number + 1: f"{_KINDS[kind]} {number + 1}" for number, kind in enumerate(kinds)},
        tuple(int(np.flatnonzero(kinds == kind)[0]) + 1 for kind in (0, 2, 4)),
        f"generated ratings (seed {seed})",
    )


def _movielens(members: dict[str, bytes], origin: str) -> Ratings:
    titles = {}
    for line in members["u.item"].decode("iso-8859-1").splitlines():
        number, title = line.split("|")[:2]
        titles[int(number)] = title
    train, validation = (
        np.loadtxt(io.BytesIO(members[name]), dtype=np.int64, usecols=(0, 1, 2))
        for name in ("ua.base", "ua.test")
    )
    return Ratings(train, validation, titles, _MOVIELENS_FILMS, origin, TERMS)


def _from_folder(folder: Path) -> dict[str, bytes]:
    try:
        members = {name: (folder / name).read_bytes() for name in SHA256}
    except OSError as error:
        raise _Unusable(f"{error.filename} cannot be read ({error.strerror})") from None
    return _checked(members, str(folder))


def _download() -> bytes:
    try:
        with urllib.request.urlopen(URL, timeout=_TIMEOUT_SECONDS) as answer:
            content: Any = answer.read()
    # HTTPException covers an answer that breaks off, OSError all that keeps it from beginning.
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise _Unusable(f"The download failed ({reason})") from None
    return bytes(content)


def _from_archive(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(f"{FOLDER}/{name}") for name in SHA256}
    except (zipfile.BadZipFile, KeyError) as error:
        raise _Unusable(f"The downloaded file is not the MovieLens archive ({error})") from None
    return _checked(members, URL)


def _checked(members: dict[str, bytes], place: str) -> dict[str, bytes]:
    for name, content in members.items():
        found = hashlib.sha256(content).hexdigest()
        if found != SHA256[name]:
            raise _Unusable(
                f"{name} from {place} is not the published file (SHA-256 {found[:12]}…, expected "
                f"{SHA256[name][:12]}…)"
            )
    return members
