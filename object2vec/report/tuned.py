# SPDX-License-Identifier: Apache-2.0
"""The section of a report on the study that a model is from: its trials, the best so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

from object2vec.report.charts import Line, lines, number
from object2vec.report.content import Content, Tuned
from object2vec.report.markup import Markup, broken, element, escape, joined, table
from object2vec.report.section_parts import BETTER, capital, decimals, figure, section, words

#: How many trials the table shows, the best ones first.
MOST_ROWS = 200
_COMPLETE = "complete"


def tuned(content: Content) -> Optional[Markup]:
    """A chart of the best value so far, and the trials as a table; None without a study."""
    found = content.tuned
    if found is None:
        return None
    measure = words(found.metric)
    trainings = f"{number(len(found.trials))} training{'s' * (len(found.trials) != 1)}"
    about = f"{trainings} with other hyperparameters, judged by their {measure}."
    parts = [_chart(found, measure), element("p", _searched(found), class_="note")]
    different = _different(content, found)
    if different:
        parts.append(element("p", different, class_="note"))
    return section("tuning", "Tuning", about, *parts, _trials(found, measure))


def best_so_far(found: Tuned) -> list[tuple[float, float]]:
    """The best value up to each trial, by its number: where it changes, and just before.

    Between these it is the same, so that a line through them is the one through all.
    """
    better = min if found.direction == "minimize" else max
    steps: list[tuple[float, float]] = []
    for trial in sorted(found.trials, key=lambda one: one.number):
        if trial.state != _COMPLETE or trial.value is None or not math.isfinite(trial.value):
            continue
        value = better(trial.value, steps[-1][1]) if steps else trial.value
        if len(steps) > 1 and steps[-1][1] == steps[-2][1] == value:
            steps.pop()
        steps.append((trial.number, value))
    return steps


def _chart(found: Tuned, measure: str) -> Markup:
    points = best_so_far(found)
    better = BETTER[found.direction == "minimize"]
    if not points:
        return element("p", "No trial gave a finite value.", class_="note")
    label = (
        f"Best {measure} by trial: from {number(points[0][1])} to {number(points[-1][1])}; the "
        "trials stand in a table below."
    )
    chart = lines(
        [Line("best", points)], best=found.best, x_title="trial",
        best_title=f"best: {found.best}", label=label,
    )  # fmt: skip
    return element("div", figure(f"Best {measure} so far", better, chart), class_="charts")


def _searched(found: Tuned) -> Markup:
    parts = [joined([broken(name), f" {told}"]) for name, told in found.space.items()]
    return joined(["Searched: ", joined(parts, "; "), "."])


def _different(content: Content, found: Tuned) -> str:
    """What the page's model has otherwise than the best trial."""
    own, best = content.hyperparameters.to_dict(), found.best_setting
    parts = [
        f"{name} {_text(own[name])} instead of {_text(best[name])}"
        for name in found.space
        if name in own and name in best and _text(own[name]) != _text(best[name])
    ]
    if not parts:
        return ""
    return f"This page's model has other settings than the best trial: {', '.join(parts)}."


def _trials(found: Tuned, measure: str) -> Markup:
    head = [escape("Trial"), escape("State"), escape(capital(measure)), escape("Epochs"),
            escape("Seconds"), *map(broken, found.space)]  # fmt: skip
    ranked = found.ranked()
    rows = []
    for trial in ranked[:MOST_ROWS]:
        setting = {**found.start, **trial.setting}
        state = f"{trial.state}: {trial.error}" if trial.error else trial.state
        rows.append(
            [f"{trial.number}{' (best)' if trial.number == found.best else ''}", state]
            + ["–" if trial.value is None else decimals(trial.value)]
            + [_text(trial.epochs), _text(trial.seconds)]
            + [_text(setting.get(name)) for name in found.space]
        )
    shown = table(head, rows, "Trials, the best ones first", numbers=_numbers(rows))
    shown = element("div", shown, class_="apart")
    if len(ranked) <= MOST_ROWS:
        return shown
    told = f"The best {MOST_ROWS} of {number(len(ranked))} trials are shown."
    return joined([shown, element("p", told, class_="note")])


def _numbers(rows: Sequence[Sequence[str]]) -> list[int]:
    """The columns that hold nothing but numbers, from the third on."""

    def is_number(text: str) -> bool:
        return text == "–" or text.replace(",", "").lstrip("−")[:1].isdigit()

    count = len(rows[0]) if rows else 0
    return [column for column in range(2, count) if all(is_number(row[column]) for row in rows)]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return str(value)
