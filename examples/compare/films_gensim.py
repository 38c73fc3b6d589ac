# SPDX-License-Identifier: Apache-2.0
"""Films that are alike, by name, with gensim: each person's favourites are a sentence."""

import pandas as pd
from gensim.models import Word2Vec

ratings = pd.read_csv("ratings.csv")
liked = ratings[ratings["rating"] > 3].groupby("user")["film"].apply(list)
model = Word2Vec(liked, vector_size=64, window=100, min_count=1, sg=1, epochs=20, workers=2)
print(model.wv.most_similar("Star Wars (1977)", topn=5))
