"""An HTTP server in the place of AWS: keeps the requests, and says that every job is done."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Optional

ARN = "arn:aws:sagemaker:us-east-1:111111111111:it/it"
_DONE = {
    "TrainingJobStatus": "Completed",
    "SecondaryStatus": "Completed",
    "SecondaryStatusTransitions": [],
    "TransformJobStatus": "Completed",
    "HyperParameterTuningJobStatus": "Completed",
    "EndpointStatus": "InService",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://my-bucket/output/it/output/model.tar.gz"},
    "BestTrainingJob": {"TrainingJobName": "the-best"},
    "TrainingStartTime": 1.0,
    "TrainingEndTime": 2.0,
    "BillableTimeInSeconds": 1,
    "logStreams": [],
    "events": [],
}


class FakeAws:
    """A context in which the server answers.

    Attributes
    ----------
    requests : list of (str, dict)
        Operation and arguments, in the order of their coming.
    answers : dict
        What is answered to some operations, by their names.
    environment : dict
        Variables that lead boto3 to the server, and all else that asks AWS to a closed port.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
        }

    def __enter__(self) -> FakeAws:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, operation: str) -> list[dict[str, Any]]:
        """The arguments of all requests of one operation."""
        return [arguments for name, arguments in self.requests if name == operation]

    def answer(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What AWS would say if every job were done as soon as it is created."""
        self.requests.append((operation, arguments))
        if operation in self.answers:
            return self.answers[operation]
        if not operation.startswith(("Describe", "Get")):
            return {f"{operation.replace('Create', '')}Arn": ARN}
        # A description repeats what the creation said.
        created = self.of(operation.replace("Describe", "Create"))
        return {**(created[-1] if created else {}), **_DONE}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                operation = self.headers["X-Amz-Target"].partition(".")[2]
                content = json.dumps(fake.answer(operation, json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
