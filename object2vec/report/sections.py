# SPDX-License-Identifier: Apache-2.0
"""The sections of a report on the training, the data and the settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from object2vec.evaluation.results import is_smaller_better
from object2vec.hyperparameters.table import BY_NAME
from object2vec.report.charts import Bar, Line, bars, lines, number
from object2vec.report.content import Content
from object2vec.report.markup import Markup, broken, element, escape, joined, table
from object2vec.report.section_parts import (
    BETTER,
    SPLITS,
    TOLD,
    capital,
    decimals,
    figure,
    metrics_of,
    section,
    words,
)


def training(content: Content) -> Optional[Markup]:
    """Curves of all metrics over the epochs; None where the model keeps no history."""
    history = content.history
    names = list(
        dict.fromkeys(n for epoch in history for s in SPLITS for n in metrics_of(epoch, s))
    )
    drawn = [(name, curves) for name in names if (curves := _curves(history, name))]
    if not drawn:
        return None
    best = content.metrics.get("best_epoch")
    charts = []
    for name, curves in drawn:
        # of a perplexity all is said by the cross-entropy
        if name == "perplexity" and "cross_entropy" in names:
            continue
        better = BETTER[is_smaller_better(name)]
        told = ", ".join(f"{line.name} ends at {number(line.points[-1][1])}" for line in curves)
        chart = lines(
            curves,
            best=best if content.best is not None else None,
            x_title="epoch",
            best_title=f"{content.kept}: {best}",
            label=f"{words(name)} by epoch: {told}; the numbers stand in a table below.",
        )
        key = joined(element("li", TOLD[line.name], class_=line.name) for line in curves)
        charts.append(figure(capital(words(name)), better, element("ul", key, class_="key"), chart))
    about = (
        f"Of each epoch, what the model was worth; the model of the {content.kept} epoch was kept."
    )
    if not content.complete:
        about = "The training was stopped before its first epoch ended."
    return section(
        "training", "Training", about,
        element("div", *charts, class_="charts"), _epochs(content, names),
    )  # fmt: skip


def _curves(history: Sequence[Mapping[str, Any]], name: str) -> list[Line]:
    found = []
    for split in SPLITS:
        points = [
            (epoch["epoch"], value)
            for epoch in history
            if isinstance(epoch.get("epoch"), int)
            and (value := metrics_of(epoch, split).get(name)) is not None
            and math.isfinite(value)
        ]
        if points:
            found.append(Line(split, points))
    return found


def _epochs(content: Content, names: Sequence[str]) -> Markup:
    history, best = content.history, content.metrics.get("best_epoch")
    columns = [(s, n) for n in names for s in SPLITS if any(n in metrics_of(e, s) for e in history)]
    head = ["Epoch", *(f"{words(name)}, {TOLD[split]}" for split, name in columns)]
    rows = []
    for epoch in history:
        values = [metrics_of(epoch, split).get(name) for split, name in columns]
        cells = [decimals(value) if value is not None else "–" for value in values]
        is_kept = f" ({content.kept})" if epoch.get("epoch") == best else ""
        rows.append([f"{epoch.get('epoch', '–')}{is_kept}", *cells])
    shown = table(head, rows, "Metrics by epoch", numbers=range(1, len(head)), hidden=True)
    return element("details", element("summary", "The numbers as a table"), shown)


def data(content: Content) -> Optional[Markup]:
    """What the pairs are like."""
    found = content.data
    if not found:
        return None
    rows = [["Pairs", *(number(own["pairs"]) for own in found.values())]]
    for side in ("in0", "in1"):
        for fact, title in (("tokens", "tokens"), ("distinct", "distinct tokens")):
            counts = (number(own[side][fact]) for own in found.values())
            rows.append([f"{content.called(side)}: {title}", *counts])
    head = ["", *(TOLD.get(name, name) for name in found)]
    charts = []
    # the training pairs, or those that were given in their place
    name, own = next(iter(found.items()))
    told = TOLD.get(name, name)
    labels = own["labels"]
    if labels:
        charts.append(_labels(content, labels, told))
    for side in ("in0", "in1"):
        title = content.called(side)
        lengths = own[side]["lengths"]
        if len(lengths) > 1:
            note = f"Tokens of an object of {title}, {told}"
            charts.append(_bars(f"Lengths: {title}", note, lengths, "tokens", "lists"))
        frequencies = own[side]["frequencies"]
        if len(frequencies) > 1:
            note = f"How often a token of {title} occurs, {told}"
            charts.append(_bars(f"Frequencies: {title}", note, frequencies, "times", "tokens"))
    return section(
        "data", "Data", "The pairs as the model sees them: lists of tokens with their labels.",
        table(head, rows, "Pairs and tokens", numbers=range(1, len(head)), hidden=True),
        element("div", *charts, class_="charts apart") if charts else Markup(""),
    )  # fmt: skip


def _bars(title: str, note: str, found: Sequence[Any], x_title: str, unit: str) -> Markup:
    drawn = [Bar(_span(low, high, f" {x_title}"), number(low), count) for low, high, count in found]
    low, high = number(found[0][0]), number(found[-1][1])
    label = f"Histogram from {low} to {high} {x_title}; {note}."
    return figure(title, note, bars(drawn, x_title=x_title, unit=unit, label=label))


def _labels(content: Content, labels: Mapping[str, Any], told: str) -> Markup:
    if "counts" in labels:
        names = content.inputs.label.classes if content.inputs is not None else ()
        drawn = []
        for place, count in enumerate(labels["counts"]):
            name = names[place] if place < len(names) else str(place)
            drawn.append(Bar(f"class {name}", name if len(name) <= 14 else f"{name[:13]}…", count))
        note = f"How many pairs have each class, {told}"
        label = ", ".join(f"{bar.told}: {number(bar.height)}" for bar in drawn)
        return figure("Labels", note, bars(drawn, x_title="class", unit="pairs", label=label))
    drawn = [Bar(_span(low, high, ""), number(low), count) for low, high, count in labels["bars"]]
    note = (
        f"Mean {number(labels['mean'])}, standard deviation {number(labels['deviation'])}, {told}"
    )
    label = f"Histogram of labels from {drawn[0].told} to {drawn[-1].told}. {note}."
    return figure("Labels", note, bars(drawn, x_title="label", unit="pairs", label=label))


def _span(low: float, high: float, unit: str) -> str:
    return f"{number(low)}{unit}" if low == high else f"{number(low)} to {number(high)}{unit}"


def settings(content: Content) -> Markup:
    """Hyperparameters, first those that differ from their defaults, and versions."""
    values = content.hyperparameters.to_dict()
    differing: list[list[Markup]] = []
    alike: list[list[Markup]] = []
    for name, value in values.items():
        usual = _default(name, values)
        row = [
            element("code", broken(name)),
            _setting(value),
            escape("–") if usual is None else _setting(usual),
        ]
        (alike if usual == value or _follows(name, values) else differing).append(row)
    parts = [
        table(["Hyperparameter", "Value", "Default"], differing,
              "Hyperparameters that differ from their defaults"),
        element(
            "details", element("summary", "The other hyperparameters"),
            table(["Hyperparameter", "Value", "Default"], alike, "Other hyperparameters",
                  hidden=True),
        ),
    ]  # fmt: skip
    if content.versions:
        rows = list(content.versions.items())
        shown = table(["Made with", "Version"], rows, "Versions", class_="compact")
        parts.append(element("div", shown, class_="apart"))
    about = "Sizes of vocabularies and lengths have no default: they follow from the data."
    return section("settings", "Settings", about, *parts)


def _default(name: str, values: Mapping[str, Any]) -> Any:
    entry = BY_NAME[name]
    if entry.default is None and name.startswith("enc1_"):
        return values.get(f"enc0_{name[5:]}")
    if entry.default == "enc0":
        return values.get(f"enc0_{name[5:]}")
    return list(entry.default) if isinstance(entry.default, tuple) else entry.default


def _follows(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a value is none of its own: pooled_embedding has no layers, and enc_dim's width."""
    side, _, rest = name.partition("_")
    is_pooled = values.get(f"{side}_network") == "pooled_embedding"
    if side in ("enc0", "enc1") and rest == "layers":
        automatic = {"hcnn": 4, "bilstm": 1}.get(str(values.get(f"{side}_network")))
        return is_pooled or values[name] == automatic
    return side in ("enc0", "enc1") and is_pooled and rest == "token_embedding_dim"


def _setting(value: Any) -> Markup:
    if isinstance(value, list):
        return broken(", ".join(map(str, value)))
    if isinstance(value, bool):
        return escape(str(value).lower())
    if isinstance(value, (int, float)):
        return escape(number(value))
    return broken(str(value) or "none")
