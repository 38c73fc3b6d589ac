# SPDX-License-Identifier: Apache-2.0
"""Serve the vectors of raw texts with sentence-transformers, which has no server of its own.

Takes the model that pairs_sentence_transformers.py has saved.
"""

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Request(BaseModel):
    """Texts to embed."""

    texts: list[str]


app = FastAPI()
model = SentenceTransformer("sentence-transformers-model", device="cpu")


@app.post("/embed")
def embed(request: Request) -> list[list[float]]:
    """The vectors of texts."""
    return model.encode(request.texts).tolist()


if __name__ == "__main__":
    uvicorn.run(app, port=8081)
