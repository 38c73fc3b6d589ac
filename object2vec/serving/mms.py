"""Start Multi Model Server: the folder with its configuration, its command and its environment."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Union

from object2vec.errors import PlatformError
from object2vec.serving.media_types import ACCEPTED, ALIASES
from object2vec.serving.plugin.build import JAR
from object2vec.serving.settings import LAST_PORT, MEBIBYTE, Settings
from object2vec.serving.worker import MODEL_DIR_VARIABLE, die_with_parent, module_path

# These would move or overrule the files that are written here.
_FOREIGN_VARIABLES = ("MMS_CONFIG_FILE", "MODEL_SERVER_HOME", "LOG_LOCATION", "METRICS_LOCATION")
_LOOPBACK = "127.0.0.1"
_YEAR_SECONDS = 365 * 24 * 3600
_GRACE_SECONDS = 60
# What the head of an answer may take beside its body.
_HEAD_BYTES = MEBIBYTE
_JVM_BYTES = 192 * MEBIBYTE
_QUEUE_BYTES = 512 * MEBIBYTE
_RECEIVING_BYTES = 256 * MEBIBYTE
# More than those are closed, the one first on which nothing has come for longest.
_CONNECTIONS = 1000

# Starts of lines that tell of the server's insides only.
_NOISE = (
    "attachIO",
    "terminateIO",
    "Stopped Scanner",
    "model_service_worker started",
    "Listening on port",
    "MMS worker started",
    "Python runtime",
    "Connection accepted",
    "Frontend disconnected",
    r"\[PID\]",
    r"Model \S+ loaded",
)
_LOG_CONFIGURATION = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error" shutdownHook="disable">
  <Appenders>
    <Console name="server" target="SYSTEM_OUT">
      <PatternLayout
          pattern="[%d{MM/dd/yyyy HH:mm:ss} %p %tid] %m %throwable{short.message}%n"/>
    </Console>
    <Console name="worker" target="SYSTEM_OUT">
      <RegexFilter onMatch="DENY" onMismatch="NEUTRAL"
          regex="(NOISE).*"/>
      <PatternLayout pattern="%m%n"/>
    </Console>
    <Console name="access" target="SYSTEM_OUT">
      <RegexFilter regex=".*(GET|HEAD) /ping .*" onMatch="DENY" onMismatch="NEUTRAL"/>
      <PatternLayout pattern="[%d{MM/dd/yyyy HH:mm:ss} INFO %tid] %m%n"/>
    </Console>
  </Appenders>
  <Loggers>
    <Logger name="com.amazonaws.ml.mms.wlm.WorkerLifeCycle" level="info" additivity="false">
      <AppenderRef ref="worker"/>
    </Logger>
    <Logger name="com.amazonaws.ml.mms.wlm.WorkerThread" level="info" additivity="false">
      <AppenderRef ref="server">
        <RegexFilter regex="(Backend response|Connecting to|Flushing req).*"
            onMatch="DENY" onMismatch="NEUTRAL"/>
      </AppenderRef>
    </Logger>
    <Logger name="com.amazonaws.ml.mms.metrics" level="off"/>
    <Logger name="com.amazonaws.ml.mms" level="warn"/>
    <Logger name="ACCESS_LOG" level="info" additivity="false">
      <AppenderRef ref="access"/>
    </Logger>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="MMS_METRICS" level="off"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Root level="warn">
      <AppenderRef ref="server"/>
    </Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class Plan:
    """What is served, where and by how many.

    Parameters
    ----------
    model_dir : Path
        Absolute.
    host : str
        Address to listen on.
    settings : Settings
    workers : int
        Python processes.
    cores : int
        Cores that Java may use.
    gpus : int
        GPUs that workers are dealt out to.
    """

    model_dir: Path
    host: str
    settings: Settings
    workers: int
    cores: int
    gpus: int

    @property
    def queue_size(self) -> int:
        """Requests that may wait; the next one is answered by 503."""
        return max(2 * self.workers, min(100, _QUEUE_BYTES // self.settings.payload_bytes))

    @property
    def receiving_bytes(self) -> int:
        """Memory of the bodies that are on their way in; the next one is answered by 503."""
        return max((self.workers + 2) * self.settings.payload_bytes, _RECEIVING_BYTES)


def write_home(home: Path, plan: Plan) -> None:
    """Fill the folder that the server takes for its home and its model.

    The real model directory is not shown to it: it would put that folder in front of Python's path
    and run what lies there.
    """
    (home / "store" / "model").mkdir(parents=True)
    (home / "mms").mkdir()
    (home / "tmp").mkdir()
    (home / "log4j2.xml").write_text(
        _LOG_CONFIGURATION.replace("NOISE", "|".join(_NOISE)), encoding="utf-8"
    )
    # The worker has the path of this process, not the one that the server makes up.
    path = module_path()
    (home / "mms" / "model_service_worker.py").write_text(
        f"import sys\n\nsys.path[:] = {path!r}\n\n"
        f"from object2vec.serving.worker import main\n\nmain({str(home)!r})\n",
        encoding="utf-8",
    )
    lines = (f"{name}={value}\n" for name, value in _configuration(home, plan).items())
    (home / "config.properties").write_text("".join(lines), encoding="utf-8")


def _configuration(home: Path, plan: Plan) -> dict[str, object]:
    settings = plan.settings
    # Sockets that are files need a library, which the server unpacks into this folder and loads.
    native = not os.statvfs(home).f_flag & os.ST_NOEXEC
    # A file in a folder that is ours alone: nobody else can load models into this server.
    management = f"unix:{home}/management.sock"
    if not native:
        management = f"http://{_LOOPBACK}:{_free_port(settings)}"
    return {
        "use_native_io": str(native).lower(),
        "inference_address": f"http://{plan.host}:{settings.port}",
        "management_address": management,
        "model_store": home / "store",
        "load_models": "model=model",
        "default_service_handler": "object2vec.serving.handler",
        "default_workers_per_model": plan.workers,
        # The server uses it for the loading of the model too; ours is for answers alone.
        "default_response_timeout_seconds": max(settings.startup_seconds, settings.timeout_seconds)
        + _GRACE_SECONDS,
        "max_request_size": settings.payload_bytes,
        "max_response_size": settings.answer_bytes + _HEAD_BYTES,
        "job_queue_size": plan.queue_size,
        "number_of_gpu": plan.gpus,
        "number_of_netty_threads": max(2, plan.cores),
        "netty_client_threads": max(1, min(plan.workers, plan.cores)),
        "decode_input_request": "false",
        "preload_model": "false",
        "enable_envvars_config": "false",
        # Each measurement would start a Python process.
        "metric_time_interval": _YEAR_SECONDS,
        # What our own classes read.
        "object2vec_media_types": ",".join(ALIASES),
        "object2vec_accepted": ACCEPTED,
        "object2vec_timeout_seconds": settings.timeout_seconds,
        "object2vec_idle_seconds": settings.idle_seconds,
        "object2vec_read_seconds": settings.read_seconds,
        "object2vec_connections": _CONNECTIONS,
        "object2vec_receiving_bytes": plan.receiving_bytes,
    }


def _free_port(settings: Settings) -> int:
    first, last = settings.safe_ports
    for port in range(first, min(last, LAST_PORT) + 1):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((_LOOPBACK, port))
            return port
    raise PlatformError(
        f"No port from {first} to {last} is free for the server's management; free one, or name "
        "others in SAGEMAKER_SAFE_PORT_RANGE."
    )


def command(java: str, home: Path, plan: Plan) -> list[str]:
    """The command line of the server.

    Raises
    ------
    PlatformError
        If multi-model-server is not installed.
    """
    spec = find_spec("mms")
    if spec is None or spec.origin is None:
        raise PlatformError(
            "multi-model-server is not installed; install the package with its serving parts: "
            "pip install 'object2vec[serve]'."
        )
    if not JAR.is_file():
        # Without it requests would go to the server's own code.
        raise PlatformError(f"{JAR} is missing; install object2vec again.")
    server = Path(spec.origin).parent / "frontend" / "model-server.jar"
    options = plan.settings.jvm_options
    # Two collectors at once are an error.
    chosen = any(option.startswith("-XX:+Use") and option.endswith("GC") for option in options)
    return [
        java,
        "-XX:+IgnoreUnrecognizedVMOptions",
        # The cores and the memory are counted here; what Java finds in containers is often wrong.
        "-XX:-UseContainerSupport",
        f"-XX:ActiveProcessorCount={plan.cores}",
        f"-Xmx{_heap_bytes(plan) // MEBIBYTE}m",
        "-Xms32m",
        *(() if chosen else ("-XX:+UseSerialGC",)),
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:TieredStopAtLevel=1",
        f"-Djava.io.tmpdir={home / 'tmp'}",
        f"-Dmodel_server_home={home}",
        f"-Dlog4j.configurationFile={(home / 'log4j2.xml').as_uri()}",
        "-Dlog4j2.formatMsgNoLookups=true",
        *options,
        "-cp",
        # In this order, for one of our classes stands in for one of the server's.
        f"{JAR}{os.pathsep}{server}",
        "com.amazonaws.ml.mms.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(home / "config.properties"),
    ]


def _heap_bytes(plan: Plan) -> int:
    settings = plan.settings
    # A waiting request is held once; one at work, and its answer, a few times on their way.
    waiting = plan.queue_size * settings.payload_bytes + plan.receiving_bytes
    working = (plan.workers + 1) * 3 * (settings.payload_bytes + settings.answer_bytes)
    return _JVM_BYTES + waiting + working


def environment(plan: Plan) -> dict[str, str]:
    """Environment of the server and its workers."""
    values = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
    values[MODEL_DIR_VARIABLE] = str(plan.model_dir)
    values.setdefault("OMP_NUM_THREADS", str(max(1, plan.cores // plan.workers)))
    return values


def start(java: str, home: Union[str, Path], plan: Plan) -> subprocess.Popen:
    """Start the server in a session of its own; it dies with this process.

    It obeys one line on its standard input: after ``drain`` it takes no more requests, and ends
    when those at work are answered.
    """
    home = Path(home)
    write_home(home, plan)
    return subprocess.Popen(
        command(java, home, plan),
        cwd=home,
        env=environment(plan),
        stdin=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
