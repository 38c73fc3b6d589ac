# SPDX-License-Identifier: Apache-2.0
"""Films that are alike, by name, with implicit."""

import pandas as pd
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

ratings = pd.read_csv("ratings.csv").astype({"user": "category", "film": "category"})
cells = ratings["user"].cat.codes, ratings["film"].cat.codes
model = AlternatingLeastSquares(factors=64)
model.fit(csr_matrix((ratings["rating"].astype("float32"), cells)), show_progress=False)
films = ratings["film"].cat.categories
near, cosines = model.similar_items(films.get_loc("Star Wars (1977)"), N=6)
print(list(zip(films[near], cosines))[1:])
