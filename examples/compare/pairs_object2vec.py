# SPDX-License-Identifier: Apache-2.0
"""From raw sentence pairs to the similarity of two sentences, with object2vec."""

import numpy as np

from object2vec import Object2Vec

model = Object2Vec.from_table(
    "pairs.csv",
    in0="sentence1",
    in1="sentence2",
    label="gold_label",
    validation=0.1,
    tied_token_embedding_weight=True,
)
first, second = model.embed(in0=["Two dogs are running on the beach.", "Dogs run along the shore."])
print(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
