# SPDX-License-Identifier: Apache-2.0
"""The peer of the serving benchmark: the same network in PyTorch behind a minimal ASGI application.

``python -m benchmarks.torch_service WEIGHTS PORT WORKERS``. Only pooled_embedding with a softmax,
and no check of what is sent: less than a real service would do.
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
import torch
import uvicorn

from object2vec.serving.children import die_with_parent

torch.set_grad_enabled(False)
with np.load(sys.argv[1], allow_pickle=False) as _file:
    _weights = {name: torch.from_numpy(_file[name]) for name in _file.files}
_tables = (_weights["embed_0_weight"], _weights.get("embed_1_weight", _weights["embed_0_weight"]))
_layers = sorted(
    name[:-7] for name in _weights if name.startswith("mlp") and name.endswith("_weight")
)


def _embed(side: int, lists: list[list[int]]) -> torch.Tensor:
    offsets = np.zeros(len(lists), np.int64)
    np.cumsum([len(ids) for ids in lists[:-1]], out=offsets[1:])
    tokens = torch.tensor([token for ids in lists for token in ids])
    return torch.nn.functional.embedding_bag(
        tokens, _tables[side], torch.from_numpy(offsets), mode="mean"
    )


def _scores(instances: list[dict[str, list[int]]]) -> torch.Tensor:
    left = _embed(0, [instance["in0"] for instance in instances])
    right = _embed(1, [instance["in1"] for instance in instances])
    x = torch.cat([left * right, left, right, (left - right).abs()], dim=1)
    for name in (*_layers, "output_layer"):
        x = torch.nn.functional.linear(x, _weights[f"{name}_weight"], _weights[f"{name}_bias"])
    return torch.softmax(x, dim=1)


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer POST with scores or in0's embeddings, and everything else with nothing."""
    if scope["type"] != "http":
        return
    body, more = b"", scope["method"] == "POST"
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b""
    if body:
        instances = orjson.loads(body)["instances"]
        if "in1" in instances[0]:
            key, values = "scores", _scores(instances).numpy()
        else:
            key, values = "embeddings", _embed(0, [row["in0"] for row in instances]).numpy()
        rows = [{key: row} for row in values]
        answer = orjson.dumps({"predictions": rows}, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _serve(listener: socket.socket) -> None:
    die_with_parent()
    torch.set_num_threads(1)
    uvicorn.Server(uvicorn.Config(application, log_level="warning")).run(sockets=[listener])


def main() -> None:
    """Serve until killed, in as many processes as the command line says."""
    # uvicorn's own --workers makes sockets without TCP_NODELAY: 40 ms for each small answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[2])))
    listener.listen(100)
    forking = multiprocessing.get_context("fork")
    workers = [forking.Process(target=_serve, args=(listener,)) for _ in range(int(sys.argv[3]))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
