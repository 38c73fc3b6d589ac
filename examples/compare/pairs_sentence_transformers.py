# SPDX-License-Identifier: Apache-2.0
"""From raw sentence pairs to the similarity of two sentences, with sentence-transformers.

From scratch, as a pretrained model has to be downloaded: with one, such as all-MiniLM-L6-v2, the
lines about the tokenizer fall away, and `SentenceTransformer` takes its name.
"""

import pandas as pd
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import SoftmaxLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

pairs = pd.read_csv("pairs.csv")
pairs["label"] = pairs.pop("gold_label").astype("category").cat.codes.astype(int)
tokenizer = Tokenizer(WordLevel(unk_token="[UNK]"))
tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
texts = pd.concat([pairs["sentence1"], pairs["sentence2"]])
tokenizer.train_from_iterator(texts, WordLevelTrainer(special_tokens=["[UNK]"]))
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=100)], device="cpu")
trainer = SentenceTransformerTrainer(
    model=model,
    args=SentenceTransformerTrainingArguments(
        "output", num_train_epochs=2, learning_rate=0.003, per_device_train_batch_size=64
    ),
    train_dataset=Dataset.from_pandas(pairs),
    loss=SoftmaxLoss(model, 100, num_labels=3),
)
trainer.train()
model.save("sentence-transformers-model")
vectors = model.encode(["Two dogs are running on the beach.", "Dogs run along the shore."])
print(model.similarity(vectors[0], vectors[1]))
