# SPDX-License-Identifier: Apache-2.0
"""Films that are alike, by name, with object2vec."""

import numpy as np
import pandas as pd

from object2vec import Object2Vec

model = Object2Vec.from_table("ratings.csv", in0="user", in1="film", label="rating", validation=0.1)
vectors = model.embed(in1=pd.read_csv("ratings.csv")["film"].unique(), output="pandas")
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
print((vectors @ vectors.loc["Star Wars (1977)"]).nlargest(6)[1:])
