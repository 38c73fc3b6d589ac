# SPDX-License-Identifier: Apache-2.0
"""Start Multi Model Server: the folder with its configuration, its command and its environment."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Union

from object2vec.errors import PlatformError
from object2vec.serving.batch_transform import ExecutionParameters
from object2vec.serving.children import die_with_parent
from object2vec.serving.isolation import prelude, python_command
from object2vec.serving.media_types import ACCEPTED, ALIASES
from object2vec.serving.mms_files import server_jar
from object2vec.serving.native_library import library_folder
from object2vec.serving.plugin.build import JAR
from object2vec.serving.settings import MEBIBYTE, Settings

# These would move or overrule the files that are written here.
_FOREIGN_VARIABLES = ("MMS_CONFIG_FILE", "MODEL_SERVER_HOME", "LOG_LOCATION", "METRICS_LOCATION")
# Runs the worker program; it heeds no variable that names code.
_SHELL = "/bin/sh"
# In the server's home.
WORKER = "worker.py"
# The name that Java knows the address of IPv6 by.
_IPV6_NAME = "listen"
_YEAR_SECONDS = 365 * 24 * 3600
_GRACE_SECONDS = 60
# What the head of an answer may take beside its body.
_HEAD_BYTES = MEBIBYTE
# Of Java; also the end of its arrays.
_LARGEST_INTEGER = (1 << 31) - 1
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
    batch : ExecutionParameters
        What batch transform is told.
    digest : str
        Of the model that was tried; workers answer from no other. Empty: from any.
    """

    model_dir: Path
    host: str
    settings: Settings
    workers: int
    cores: int
    gpus: int
    batch: ExecutionParameters
    digest: str = ""

    @property
    def is_ipv6(self) -> bool:
        """Whether `host` is an address with colons."""
        return ":" in self.host

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
    (home / "tmp").mkdir(exist_ok=True)
    (home / "log4j2.xml").write_text(
        _LOG_CONFIGURATION.replace("NOISE", "|".join(_NOISE)), encoding="utf-8"
    )
    worker = home / WORKER
    worker.write_text(
        f"{prelude()}\nfrom object2vec.serving.worker import main\n\n"
        f"main({str(home)!r}, {os.fspath(plan.model_dir)!a}, {plan.digest!r})\n",
        encoding="ascii",
    )
    # The server starts this file with its own PYTHONPATH; a shell hands on to an isolated Python.
    start = shlex.join([*python_command(), str(worker)])
    (home / "mms" / "model_service_worker.py").write_bytes(
        b"exec " + os.fsencode(start) + b' "$@"\n'
    )
    for jar in _jars():
        # Java finds no names beyond ASCII in a locale that does not know them.
        (home / jar.name).symlink_to(jar)
    if plan.is_ipv6:
        (home / "hosts").write_text(f"{plan.host} {_IPV6_NAME}\n", encoding="ascii")
    lines = (f"{name}={value}\n" for name, value in _configuration(home, plan).items())
    (home / "config.properties").write_text("".join(lines), encoding="utf-8")


def _configuration(home: Path, plan: Plan) -> dict[str, object]:
    settings = plan.settings
    # Its pattern for addresses knows no colons.
    address = _IPV6_NAME if plan.is_ipv6 else plan.host
    return {
        "use_native_io": "true",
        "inference_address": f"http://{address}:{settings.port}",
        # A file in a folder that is ours alone: nobody else can load models into this server.
        "management_address": f"unix:{home}/management.sock",
        "model_store": home / "store",
        "load_models": "model=model",
        "default_service_handler": "object2vec.serving.handler",
        "default_workers_per_model": plan.workers,
        # The server uses it for the loading of the model too; ours is for answers alone.
        "default_response_timeout_seconds": max(settings.startup_seconds, settings.timeout_seconds)
        + _GRACE_SECONDS,
        "max_request_size": settings.payload_bytes,
        "max_response_size": min(settings.answer_bytes + _HEAD_BYTES, _LARGEST_INTEGER),
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
        "object2vec_parameters": plan.batch.to_json(),
    }


def command(java: str, home: Path, library: Path, plan: Plan) -> list[str]:
    """The command line of the server.

    Parameters
    ----------
    java : str
        Java's program.
    home : Path
        What `write_home` has filled.
    library : Path
        The folder of the native library.
    plan : Plan
    """
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
        f"-Djava.library.path={library}",
        f"-Dmodel_server_home={home}",
        *((f"-Djdk.net.hosts.file={home / 'hosts'}",) if plan.is_ipv6 else ()),
        f"-Dlog4j.configurationFile={(home / 'log4j2.xml').as_uri()}",
        "-Dlog4j2.formatMsgNoLookups=true",
        *options,
        "-cp",
        # In this order, for one of our classes stands in for one of the server's.
        os.pathsep.join(str(home / jar.name) for jar in _jars()),
        "com.amazonaws.ml.mms.ModelServer",
        "--python",
        _SHELL,
        "-f",
        str(home / "config.properties"),
    ]


def _jars() -> list[Path]:
    if not JAR.is_file():
        # Without it requests would go to the server's own code.
        raise PlatformError(f"{JAR} is missing; install object2vec again.")
    return [JAR, server_jar()]


def _heap_bytes(plan: Plan) -> int:
    settings = plan.settings
    # A waiting request is held once; one at work, and its answer, a few times on their way.
    waiting = plan.queue_size * settings.payload_bytes + plan.receiving_bytes
    working = (plan.workers + 1) * 3 * (settings.payload_bytes + settings.answer_bytes)
    return _JVM_BYTES + waiting + working


def environment(plan: Plan) -> dict[str, str]:
    """Environment of the server and its workers."""
    values = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
    if not values.get("OMP_NUM_THREADS", "").strip():
        values["OMP_NUM_THREADS"] = str(max(1, plan.cores // plan.workers))
    return values


def start(java: str, home: Union[str, Path], plan: Plan) -> subprocess.Popen:
    """Start the server in a session of its own; it dies with this process.

    It obeys one line on its standard input: after ``drain`` it takes no more requests, and ends
    when those at work are answered.
    """
    home = Path(home)
    library = library_folder(home)
    write_home(home, plan)
    return subprocess.Popen(
        command(java, home, library, plan),
        cwd=home,
        env=environment(plan),
        stdin=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
