"""A tuning job with the SageMaker Python SDK and an image of one's own.

Takes ranges, objective and metrics from `object2vec describe`. Without --send no AWS account is
needed: it prints the request that SageMaker would get. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# The SDK reads it while it is imported.
os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")

import boto3
from botocore.awsrequest import AWSResponse

# The request alone shall stand on the standard output; the SDK speaks of its import there.
with contextlib.redirect_stdout(sys.stderr):
    from sagemaker import Session
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.tuner import (
        CategoricalParameter,
        ContinuousParameter,
        HyperparameterTuner,
        IntegerParameter,
    )

TOP = Path(__file__).resolve().parent.parent
JSON_LINES = "application/jsonlines"
# The settings of Amazon's published notebook on MovieLens ratings.
HYPERPARAMETERS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": 944,
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": 1,
    "enc1_vocab_size": 1684,
    "enc_dim": 1024,
    "mlp_layers": 1,
    "mlp_dim": 256,
    "mlp_activation": "tanh",
    "output_layer": "mean_squared_error",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "mini_batch_size": 64,
    "epochs": 20,
}
# What the jobs differ in; the fewer, the fewer jobs it takes.
SEARCHED = ("enc_dim", "mlp_dim", "dropout", "learning_rate")


def main() -> int:
    """Send the tuning job, or print what would be sent; returns the exit code."""
    options = read_options()
    for name in ("sagemaker", "sagemaker.config"):
        logging.getLogger(name).setLevel(logging.ERROR)
    boto_session = boto3.Session(region_name=options.region)
    client = boto_session.client("sagemaker")
    requests: list[dict[str, Any]] = []
    if not options.send:
        keep_requests(client, requests)
    session = Session(
        boto_session,
        sagemaker_client=client,
        sagemaker_config={
            "SchemaVersion": "1.0",
            "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
        },
    )
    tuner = tuner_of(options, session)
    channels = {
        name: TrainingInput(f"{options.data}/{name}", content_type=JSON_LINES)
        for name in ("train", "validation")
    }
    tuner.fit(channels, wait=options.send)
    if options.send:
        print(f"The best job is {tuner.best_training_job()}.")
    else:
        print(json.dumps(requests[0], indent=2))
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--image",
        default="111111111111.dkr.ecr.us-east-1.amazonaws.com/object2vec:latest",
        help="in ECR, of the job's region; default: %(default)s",
    )
    parser.add_argument(
        "--role",
        default="arn:aws:iam::111111111111:role/sagemaker",
        help="that the jobs run as; default: %(default)s",
    )
    parser.add_argument(
        "--data",
        default="s3://my-bucket/ratings",
        help="folder with train/ and validation/, beside which output/ is written; "
        "default: %(default)s",
    )
    parser.add_argument("--region", default="us-east-1", help="default: %(default)s")
    parser.add_argument("--instance-type", default="ml.m5.xlarge", help="default: %(default)s")
    parser.add_argument("--jobs", type=int, help="how many; default: as described")
    parser.add_argument("--parallel", type=int, help="how many at once; default: as described")
    parser.add_argument("--send", action="store_true", help="run it on SageMaker, which costs")
    return parser.parse_args()


def keep_requests(client: Any, requests: list[dict[str, Any]]) -> None:
    """Keep what the client would send, checked and encoded, and answer it with nothing."""

    def keep(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        requests.append(json.loads(params["body"]))
        return AWSResponse(params["url"], 200, {}, None), {}

    client.meta.events.register("before-call.sagemaker", keep)


def tuner_of(options: argparse.Namespace, session: Session) -> HyperparameterTuner:
    """The tuner; its objective, ranges and metrics are those that the package describes."""
    estimator = Estimator(
        image_uri=options.image,
        role=options.role,
        instance_count=1,
        instance_type=options.instance_type,
        output_path=f"{options.data}/output",
        sagemaker_session=session,
        hyperparameters=HYPERPARAMETERS,
    )
    job = described_job()
    config = job["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    return HyperparameterTuner(
        estimator,
        objective_metric_name=config["HyperParameterTuningJobObjective"]["MetricName"],
        objective_type=config["HyperParameterTuningJobObjective"]["Type"],
        hyperparameter_ranges=sdk_ranges(config["ParameterRanges"]),
        metric_definitions=job["TrainingJobDefinition"]["AlgorithmSpecification"][
            "MetricDefinitions"
        ],
        strategy=config["Strategy"],
        max_jobs=options.jobs or limits["MaxNumberOfTrainingJobs"],
        max_parallel_jobs=options.parallel or limits["MaxParallelTrainingJobs"],
        base_tuning_job_name="object2vec",
    )


def described_job() -> dict[str, Any]:
    """What `object2vec describe --tuning-job` prints; it needs nothing but Python."""
    given = [f"-p{name}={value}" for name, value in HYPERPARAMETERS.items()]
    given += [f"--search={name}" for name in SEARCHED]
    done = subprocess.run(
        [sys.executable, "-m", "object2vec", "describe", "--tuning-job", *given],
        cwd=TOP,
        stdout=subprocess.PIPE,
        check=True,
    )
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def sdk_ranges(ranges: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """ParameterRanges in the SDK's classes, by name."""
    return {
        **{
            item["Name"]: IntegerParameter(
                int(item["MinValue"]), int(item["MaxValue"]), item["ScalingType"]
            )
            for item in ranges["IntegerParameterRanges"]
        },
        **{
            item["Name"]: ContinuousParameter(
                float(item["MinValue"]), float(item["MaxValue"]), item["ScalingType"]
            )
            for item in ranges["ContinuousParameterRanges"]
        },
        **{
            item["Name"]: CategoricalParameter(item["Values"])
            for item in ranges["CategoricalParameterRanges"]
        },
    }


if __name__ == "__main__":
    sys.exit(main())
