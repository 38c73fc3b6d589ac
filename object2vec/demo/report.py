# SPDX-License-Identifier: Apache-2.0
"""What the demo prints: the training, the errors beside two baselines, films that are alike."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from object2vec.demo.ratings import Ratings
from object2vec.estimator.estimator import Object2Vec
from object2vec.logs import handling, write_line
from object2vec.prepare.recipes import recipe
from object2vec.prepare.table_hyperparameters import joined_settings
from object2vec.raw_values.inputs import Column, Inputs, Label, Side, Vocabulary
from object2vec.training.metric_lines import METRIC_DEFINITIONS

SEED = 1
NEIGHBOURS = 5
_MIN_RATINGS = 50
_INDENT = "  "


def show(
    load: Callable[[Callable[[str], None]], Ratings], model_dir: Path, **settings: Any
) -> None:
    """Run the whole demo and print it to standard output.

    Parameters
    ----------
    load : callable
        Gives the ratings; receives a function that prints a line.
    model_dir : Path
        Where the model is written.
    **settings
        Hyperparameters that differ from those of the recipe.
    """
    _say("object2vec demo: from ratings to films that are alike", "")
    ratings = load(_say)
    inputs = ratings_inputs(ratings)
    given = {"seed": SEED, **settings}
    settings = joined_settings(inputs, recipe(inputs, "ratings").settings, given)
    _describe(ratings, settings)
    model = _fit(ratings, settings)
    model.save(model_dir)
    _compare(model, ratings)
    _show_neighbours(model, ratings)
    _show_next(ratings, model_dir)


def ratings_inputs(ratings: Ratings) -> Inputs:
    """People and films as a table would have them: each one's number is its id."""
    counts = {"person": ratings.people, "film": max(ratings.titles)}
    person, film = (Side((Column(name, "id", name),)) for name in counts)
    vocabularies = {
        name: Vocabulary(tuple(map(str, range(1, count + 1)))) for name, count in counts.items()
    }
    return Inputs(person, film, Label("number", "stars"), vocabularies)


def baseline_errors(ratings: Ratings) -> dict[str, float]:
    """Mean squared error on the validation ratings of two predictions without a model.

    Returns
    -------
    dict of str to float
        Of the mean of all training ratings, and of each person's own mean.
    """
    people, stars = ratings.train[:, 0], ratings.train[:, 2].astype(np.float64)
    overall = stars.mean()
    counts = np.bincount(people, minlength=ratings.people + 1)
    sums = np.bincount(people, weights=stars, minlength=ratings.people + 1)
    own = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    truth = ratings.validation[:, 2]
    return {
        "the mean of all ratings": float(np.mean((truth - overall) ** 2)),
        "each person's mean": float(np.mean((truth - own[ratings.validation[:, 0]]) ** 2)),
    }


def nearest(vectors: np.ndarray, row: int, count: int) -> list[tuple[int, float]]:
    """The rows whose vectors point most nearly the same way as one row's.

    Parameters
    ----------
    vectors : numpy.ndarray
        ``(n, width)``.
    row, count : int
        Which row is compared (and left out of the answer), and how many are wanted.

    Returns
    -------
    list of (int, float)
        Rows and cosines, the nearest first.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors[row] / np.maximum(lengths * lengths[row], 1e-12)
    order = [int(other) for other in np.argsort(-cosines, kind="stable") if other != row]
    return [(other, float(cosines[other])) for other in order[:count]]


def _describe(ratings: Ratings, settings: dict[str, Any]) -> None:
    _say(
        f"Data      {ratings.origin}",
        f"          {len(ratings.train):,} ratings of 1 to 5 stars to learn from, "
        f"{len(ratings.validation):,} to be judged by",
    )
    if ratings.terms:
        _say(*(f"          {line}" for line in ratings.terms.splitlines()))
    person, film, stars = ratings.train[0]
    _say(
        f'Pairs     {{"in0": [{person}], "in1": [{film}], "label": {stars}}} says: person '
        f"{person} gave film {film} {stars} stars",
        f"Model     a vector of {settings['enc_dim']} numbers for each person and each film; their",
        "          products, summed up, are the predicted rating",
        "",
    )


def _fit(ratings: Ratings, settings: dict[str, Any]) -> Object2Vec:
    model = Object2Vec(**settings)
    begun = time.monotonic()
    _say("Training", f"{_INDENT}epoch   MSE in training   MSE on the ratings kept back")
    with handling(_EpochTable()):
        model.fit(_pairs(ratings.train), _pairs(ratings.validation))
    losses = [epoch["validation_mean_squared_error"] for epoch in model.history]
    seconds, best = time.monotonic() - begun, int(np.argmin(losses)) + 1
    _say(f"{_INDENT}{seconds:.0f} seconds; epoch {best} is the best and is kept.", "")
    return model


class _EpochTable(logging.Handler):
    """Reads the losses off the log as a tuning job would, and prints a line an epoch."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        wanted = ("train:mean_squared_error", "validation:mean_squared_error")
        patterns = {d.name: re.compile(d.regex) for d in METRIC_DEFINITIONS if d.name in wanted}
        self._train, self._validation = (patterns[name] for name in wanted)
        self._epoch = 0
        self._loss = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            _say(f"{_INDENT}{text}")
        found = self._train.search(text)
        if found:
            self._loss = float(found.group(1))
        found = self._validation.search(text)
        if found:
            self._epoch += 1
            _say(f"{_INDENT}{self._epoch:5d}   {self._loss:15.4f}   {float(found.group(1)):28.4f}")


def _compare(model: Object2Vec, ratings: Ratings) -> None:
    errors = baseline_errors(ratings)
    best_baseline = min(errors.values())
    error = model.evaluate(_pairs(ratings.validation))["mean_squared_error"]
    errors["object2vec"] = error
    _say(
        "How far off is a predicted rating? (on the ratings kept back; lower is better)",
        f"{_INDENT}{'':24}   MSE    RMSE",
    )
    for name, value in errors.items():
        _say(f"{_INDENT}{name:24}  {value:.3f}   {value**0.5:.3f}")
    change = 100 * (1 - error / best_baseline)
    _say(
        f"{_INDENT}{change:.0f} % less squared error than the better baseline. (The epoch was",
        f"{_INDENT}chosen by these same ratings, the settings by others.)",
        "",
    )


def _show_neighbours(model: Object2Vec, ratings: Ratings) -> None:
    counts = np.bincount(ratings.train[:, 1], minlength=max(ratings.titles) + 1)
    films = [film for film in sorted(ratings.titles) if counts[film] >= _MIN_RATINGS]
    vectors = model.embed(in1=[[film] for film in films])
    _say(f"Films whose vectors are nearest (cosine; of those with {_MIN_RATINGS} ratings or more)")
    for film in ratings.films:
        _say(f"{_INDENT}{ratings.titles[film]}")
        if film in films:
            for row, cosine in nearest(vectors, films.index(film), NEIGHBOURS):
                _say(f"{_INDENT}{_INDENT}{cosine:5.2f}  {ratings.titles[films[row]]}")
    _say("")


def _show_next(ratings: Ratings, model_dir: Path) -> None:
    person, film = int(ratings.validation[0, 0]), ratings.films[0]
    command, folder = _command(), shlex.quote(str(model_dir))
    code = f"import object2vec; m = object2vec.Object2Vec.load({str(model_dir)!r}); print({{}})"
    code = code.format(f"m.predict([([{person}], [{film}]), ([{person}], [{ratings.films[1]}])])")
    _say(
        f"The model is in {model_dir}. What to try next:",
        "",
        f"# how many stars person {person} would give {ratings.titles[film]}",
        f'echo \'{{"in0": [{person}], "in1": [{film}]}}\' | {command} predict --model-dir {folder}',
        "",
        f"# the vector of {ratings.titles[film]}",
        f"echo '{{\"in1\": [{film}]}}' | {command} predict --model-dir {folder}",
        "",
        f"# the films nearest to {ratings.titles[film]}, by their numbers",
        f"{command} nearest --model-dir {folder} --in1 {film}",
        "",
        "# a page with what was learnt, and a map of the films to look at in a browser",
        f"{command} report --model-dir {folder} --output {shlex.quote(f'{model_dir}.html')}",
        "",
        "# the same model in Python",
        f"{shlex.quote(_python())} -c {_quoted(code)}",
    )


def _command() -> str:
    """What to type for `object2vec`, also where its folder is not on the search path."""
    script = Path(sys.executable).parent / "object2vec"
    found = shutil.which("object2vec")
    if found is not None and Path(found) == script:
        return "object2vec"
    if script.is_file():
        return shlex.quote(_short(script))
    return f"{shlex.quote(_python())} -m object2vec"


def _quoted(code: str) -> str:
    """In double quotes where the shell leaves what they hold alone: easier to read."""
    return shlex.quote(code) if set(code) & set('"$`\\!') else f'"{code}"'


def _python() -> str:
    return _short(Path(sys.executable))


def _short(path: Path) -> str:
    """Relative where it lies below the current folder, as .venv does."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _pairs(table: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"in0": [person], "in1": [film], "label": stars} for person, film, stars in table.tolist()
    ]


def _say(*lines: str) -> None:
    for line in lines:
        write_line(line)
