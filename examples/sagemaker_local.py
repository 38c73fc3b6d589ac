# SPDX-License-Identifier: Apache-2.0
"""Film ratings with the SageMaker Python SDK, in its local mode: no AWS account is needed.

Trains in a container, starts an endpoint, asks it for ratings and for films that are alike, runs
a batch transform, and takes all of it down again. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# The SDK reads these while it is imported. They only have to be set: nothing asks AWS.
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
# The package of this clone need not be installed for its demo data.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.local import LocalSession
from sagemaker.serializers import JSONSerializer

from object2vec.demo.ratings import Ratings, load_ratings

ROLE = "arn:aws:iam::111111111111:role/local-mode-asks-nobody"
JSON_LINES = "application/jsonlines"
# The settings of Amazon's published notebook on MovieLens ratings.
HYPERPARAMETERS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": 1,
    "mlp_layers": 1,
    "mlp_dim": 256,
    "mlp_activation": "tanh",
    "output_layer": "mean_squared_error",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "mini_batch_size": 64,
}
# Films in one request: an endpoint of SageMaker takes and gives a few megabytes at a time.
FILMS_A_REQUEST = 200


def main() -> int:
    """Run the whole of it; returns the exit code."""
    options = read_options()
    # What the SDK says of itself hides what the containers say.
    for name in ("sagemaker", "sagemaker.config", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ratings = load_ratings(print)
    with tempfile.TemporaryDirectory(prefix="object2vec-") as folder:
        run(options, ratings, Path(folder))
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default="object2vec", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=3, help="the notebook has 20; default: 3")
    parser.add_argument(
        "--enc-dim", type=int, default=1024, help="width of the embeddings; default: 1024"
    )
    parser.add_argument("--port", type=int, default=8080, help="of the endpoint; default: 8080")
    return parser.parse_args()


def run(options: argparse.Namespace, ratings: Ratings, folder: Path) -> None:
    """Train, serve, transform; everything is written below `folder`."""
    session = local_session(folder, options.port)

    title("1. Write the channels as JSON Lines")
    # Half of the held-out ratings choose the best epoch, the other half judge the result.
    parts = {
        "train": ratings.train,
        "validation": ratings.validation[::2],
        "test": ratings.validation[1::2],
    }
    channels = {}
    for name, rows in parts.items():
        file = folder / "data" / name / "ratings.jsonl"
        write_lines(file, ({"label": int(stars), **pair(*who)} for *who, stars in rows.tolist()))
        channels[name] = TrainingInput(f"file://{file.parent}", content_type=JSON_LINES)
        print(f"{name}: {len(rows):,} ratings, the first line is {file.open().readline().strip()}")

    title("2. Train")
    estimator = Estimator(
        image_uri=options.image,
        role=ROLE,
        instance_count=1,
        instance_type="local",
        output_path=f"file://{folder / 'output'}",
        sagemaker_session=session,
        hyperparameters={
            **HYPERPARAMETERS,
            "enc_dim": options.enc_dim,
            "epochs": options.epochs,
            # Ids begin at 1 in these data, so that 0 is a token that never comes.
            "enc0_vocab_size": ratings.people + 1,
            "enc1_vocab_size": max(ratings.titles) + 1,
        },
    )
    estimator.fit(channels)
    print(f"The model is in {estimator.model_data}")

    title("3. Deploy, and ask the endpoint")
    predictor = estimator.deploy(
        initial_instance_count=1,
        instance_type="local",
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
        # It waits for /ping all the same.
        wait=False,
    )
    try:
        endpoint_scores = predict_ratings(predictor, parts["test"], parts["train"][:, 2].mean())
        show_alike(predictor, ratings)
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()
    print("The endpoint is deleted.")

    title("4. Batch transform of the test channel")
    transformer = estimator.transformer(
        instance_count=1,
        instance_type="local",
        strategy="MultiRecord",
        assemble_with="Line",
        accept=JSON_LINES,
        output_path=f"file://{folder / 'transformed'}",
    )
    # The file as it is: keys that are no input, such as label, are ignored.
    transformer.transform(
        f"file://{folder / 'data' / 'test'}",
        content_type=JSON_LINES,
        split_type="Line",
        # The job is done when this returns; waiting would go on to read logs from CloudWatch.
        wait=False,
    )
    # Between two requests of the job there may be an empty line.
    lines = (folder / "transformed" / "ratings.jsonl.out").read_text().split("\n")
    lines = [line for line in lines if line]
    batch_scores = np.array([json.loads(line)["scores"][0] for line in lines])
    print(f"{len(lines):,} answers for {len(parts['test']):,} lines, the first is {lines[0]}")
    difference = np.abs(batch_scores - endpoint_scores).max()
    print(f"largest difference from the endpoint's answers: {difference:.1e}")
    transformer.delete_model()
    title("Done: nothing runs any more")


def local_session(folder: Path, port: int) -> LocalSession:
    """A session that runs everything in containers on this machine."""
    session = LocalSession(
        sagemaker_config={
            "SchemaVersion": "1.0",
            "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
        }
    )
    container_root = folder / "containers"
    container_root.mkdir()
    session.config = {"local": {"serving_port": port, "container_root": str(container_root)}}
    return session


def predict_ratings(predictor: Any, rows: np.ndarray, mean_rating: float) -> np.ndarray:
    """Ask for the rating of every row in one request, and print how good the answers are."""
    answer = predictor.predict({"instances": [pair(*who) for *who, _ in rows.tolist()]})
    scores = np.array([prediction["scores"][0] for prediction in answer["predictions"]])
    for (person, film, stars), score in zip(rows[:3].tolist(), scores):
        print(f"person {person}, film {film}: predicted {score:.2f}, given {stars}")
    error = np.mean((scores - rows[:, 2]) ** 2)
    baseline = np.mean((mean_rating - rows[:, 2]) ** 2)
    print(f"mean squared error: {error:.3f}; always answering the mean: {baseline:.3f}")
    return scores


def show_alike(predictor: Any, ratings: Ratings) -> None:
    """Ask for the embedding of every film, and print the nearest ones of three of them."""
    films = sorted(ratings.titles)
    embeddings = []
    for start in range(0, len(films), FILMS_A_REQUEST):
        # An instance with one input only is answered by its embedding.
        instances = [{"in1": [film]} for film in films[start : start + FILMS_A_REQUEST]]
        answer = predictor.predict({"instances": instances})
        embeddings += [prediction["embeddings"] for prediction in answer["predictions"]]
    matrix = np.array(embeddings)
    print(f"{len(matrix):,} film embeddings of {matrix.shape[1]} numbers")
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    for film in ratings.films:
        nearest = np.argsort(-matrix @ matrix[films.index(film)])[1:4]
        names = ", ".join(ratings.titles[films[row]] for row in nearest)
        print(f"{ratings.titles[film]}: {names}")


def pair(person: int, film: int) -> dict[str, list[int]]:
    """A person and a film as the two inputs: sequences of one token."""
    return {"in0": [person], "in1": [film]}


def write_lines(file: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, and the folders above the file."""
    file.parent.mkdir(parents=True)
    with file.open("w") as stream:
        stream.writelines(_lines(records))


def _lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    for record in records:
        yield json.dumps(record) + "\n"


def title(text: str) -> None:
    """Set a step off from what the SDK and the containers print."""
    print(f"\n{'=' * 80}\n{text}\n{'=' * 80}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
