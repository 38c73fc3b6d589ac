# SPDX-License-Identifier: Apache-2.0
"""What the sections of a report share: headings, names of measures, baselines that are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Optional

from object2vec.evaluation.results import is_smaller_better
from object2vec.report.charts import number
from object2vec.report.content import Content
from object2vec.report.markup import Markup, element

SPLITS = ("train", "validation")
TOLD = {"train": "training", "validation": "validation"}
BETTER = {True: "lower is better", False: "higher is better", None: ""}


def section(key: str, title: str, about: str, *content: Markup) -> Markup:
    """A section with its heading."""
    head = element("h2", title, id=f"{key}-title")
    described = element("p", about, class_="about") if about else Markup("")
    return element("section", head, described, *content, id=key, aria_labelledby=f"{key}-title")


def figure(title: str, note: str, *content: Markup) -> Markup:
    """A chart with its heading."""
    told = element("p", note) if note else Markup("")
    return element("figure", element("figcaption", element("h3", title), told), *content)


def capital(text: str) -> str:
    """A text whose first letter is a capital, and others what they are."""
    return text[:1].upper() + text[1:]


def words(metric: str) -> str:
    """A metric's name for people: ``mean squared error``."""
    known = {
        "auc": "AUC",
        "mrr": "MRR",
        "pearson": "Pearson correlation",
        "spearman": "Spearman correlation",
    }
    return known.get(metric, metric.replace("_", " "))


def arrow(name: str) -> str:
    return {True: " ↓", False: " ↑", None: ""}[is_smaller_better(name)]


def metrics_of(epoch: Optional[Mapping[str, Any]], split: str) -> dict[str, float]:
    """The metrics of a split in an epoch, by name."""
    found = {} if epoch is None else epoch
    start = f"{split}_"
    return {
        key[len(start) :]: value
        for key, value in found.items()
        if key.startswith(start) and isinstance(value, (int, float))
    }


def baseline_name(content: Content, name: str) -> str:
    """What a baseline is called, with the columns in the place of the sides."""
    side, _, rest = name.partition(" ")
    return f"{content.called(side)} {rest}" if side in ("in0", "in1") and rest else name


def kept_baseline(content: Content, split: str) -> dict[str, float]:
    """What always predicting the same is worth, as far as the kept labels tell."""
    settings = content.hyperparameters
    labels = content.data.get(split, {}).get("labels", {})
    if content.data.get(split, {}).get("weighted"):
        return {}
    # the kept labels of training are without its negatives, its measures are of both
    rate = settings.negative_sampling_rate if split == "train" else 0
    if settings.is_regression and "deviation" in labels:
        return {} if rate else {"mean_squared_error": labels["deviation"] ** 2}
    counts = list(labels.get("counts", ()))
    if settings.output_layer != "softmax" or not sum(counts):
        return {}
    counts[0] += rate * sum(counts[1:])
    shares = [count / sum(counts) for count in counts if count]
    if settings.class_weights:
        return {"accuracy": max(shares)}
    entropy = sum(share * math.log(1 / share) for share in shares)
    return {
        "cross_entropy": entropy,
        "perplexity": math.exp(entropy),
        "accuracy": max(shares),
    }


def decimals(value: float) -> str:
    """A measure, with as many decimals as those above and below it."""
    return f"{value:.4f}".replace("-", "−") if abs(value) < 10 else number(value)
