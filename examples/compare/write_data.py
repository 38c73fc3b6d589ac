# SPDX-License-Identifier: Apache-2.0
"""Write what all sides begin with into the current folder: ratings.csv and pairs.csv.

Read from ``OBJECT2VEC_DATA``: MovieLens 100K, and the pairs of SNLI that lie beside it.
"""

import os
from pathlib import Path

import pandas as pd

data = Path(os.environ.get("OBJECT2VEC_DATA", "."))
ratings = pd.read_csv(data / "ml-100k/ua.base", sep="\t", names=["user", "film", "rating", "time"])
films = pd.read_csv(data / "ml-100k/u.item", sep="|", encoding="latin-1", header=None)
titles = films.set_index(0)[1]
ratings["film"] = ratings["film"].map(titles)
ratings[["user", "film", "rating"]].to_csv("ratings.csv", index=False)

names = ("dev", "train_0.01")
files = (data / f"snli/snli_1.0_{name}.jsonl.gz" for name in names)
pairs = pd.concat(pd.read_json(file, lines=True) for file in files)
columns = ["sentence1", "sentence2", "gold_label"]
pairs.query("gold_label != '-'")[columns].to_csv("pairs.csv", index=False)
