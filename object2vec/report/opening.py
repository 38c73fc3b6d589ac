# SPDX-License-Identifier: Apache-2.0
"""The head of a report: what the model does, and its key figures."""

from __future__ import annotations

import math
from typing import Optional

from object2vec.evaluation.results import Evaluation, is_smaller_better
from object2vec.report.charts import number
from object2vec.report.content import Content
from object2vec.report.markup import Markup, element
from object2vec.report.section_parts import (
    SPLITS,
    TOLD,
    baseline_name,
    capital,
    kept_baseline,
    metrics_of,
    words,
)


def opened(content: Content) -> str:
    """What the model does, in a sentence."""
    settings = content.hyperparameters
    in0, in1 = content.called("in0"), content.called("in1")
    label = content.inputs.label.name if content.inputs is not None else ""
    if settings.is_contrastive:
        return f"Learns which {in1} belongs to which {in0}: their embeddings are near each other."
    if settings.is_regression:
        return f"Predicts a number{f', {label},' if label else ''} for pairs of {in0} and {in1}."
    if settings.output_layer == "softmax":
        kinds = f"{settings.num_classes} classes"
        of_label = f" of {label}" if label else ""
        return f"Predicts one of {kinds}{of_label} for pairs of {in0} and {in1}."
    return f"Predicts which of {settings.num_classes} classes pairs of {in0} and {in1} have."


def figures(content: Content) -> Markup:
    """The key figures at the head of the page."""
    shown: list[tuple[str, str, str]] = []
    headline = _headline(content)
    if headline is not None:
        shown.append(headline)
    if content.best is not None:
        epochs = len(content.history)
        beside = f"of {epochs} trained, counting from 0"
        shown.append((f"{capital(content.kept)} epoch", number(content.best["epoch"]), beside))
    data = content.data
    if "train" in data:
        kept = data.get("validation", {}).get("pairs")
        beside = f"and {number(kept)} for validation" if kept else "for training"
        shown.append(("Pairs", number(data["train"]["pairs"]), beside))
    for side in content.sides:
        shown.append((side.title, number(len(side.names)), f"{side.side} on the map"))
    settings = content.hyperparameters
    networks = " and ".join(dict.fromkeys(encoder.network for encoder in settings.encoders))
    shown.append(("Embedding", number(settings.enc_dim), f"numbers, by {networks}"))
    return element(
        "dl",
        *(
            element(
                "div", element("dt", title), element("dd", value, class_="value"),
                element("dd", beside, class_="beside"),
            )
            for title, value, beside in shown
        ),
        class_="figures",
    )  # fmt: skip


def _headline(content: Content) -> Optional[tuple[str, str, str]]:
    if content.judged:
        judged = content.judged[0]
        name, measure = next(iter(judged.evaluation.measures.items()))
        others = _best_baseline(judged.evaluation, name)
        beside = f"on {judged.title}" + (
            f"; {baseline_name(content, others[0])} {number(others[1])}" if others else ""
        )
        return capital(words(name)), number(measure.value), beside
    split = next((s for s in reversed(SPLITS) if metrics_of(content.best, s)), None)
    if split is None:
        return None
    name, value = next(iter(metrics_of(content.best, split).items()))
    known = kept_baseline(content, split).get(name)
    beside = f"{TOLD[split]}" + (f"; without a model {number(known)}" if known is not None else "")
    return capital(words(name)), number(value), beside


def _best_baseline(evaluation: Evaluation, name: str) -> Optional[tuple[str, float]]:
    found = [(title, own[name].value) for title, own in evaluation.baselines.items() if name in own]
    found = [(title, value) for title, value in found if math.isfinite(value)]
    if not found:
        return None
    choose = min if is_smaller_better(name) else max
    return choose(found, key=lambda one: one[1])
