# SPDX-License-Identifier: Apache-2.0
"""The command `object2vec`: reads its options, calls the rooms, maps errors to exit codes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Optional

from object2vec.errors import EXIT_INTERRUPTED, AlgorithmError, CustomerError, failure_text
from object2vec.text import bounded, named, quoted
from object2vec.version import __version__

if TYPE_CHECKING:
    from object2vec.stop_request import StopRequest
    from object2vec.training_job import Job

BASE_VARIABLE = "OBJECT2VEC_BASE"
EXIT_BROKEN_PIPE = 141

_MODEL_HELP = "a trained model: the folder that training wrote, or a model.tar.gz of it"
_DATA_OPTIONS = ("train", "validation", "test", "auxiliary")
_EXIT_CODES = """\
exit codes:
  0 done   1 something in your input   2 a fault of object2vec   3 the machine (disk, memory)
  130 stopped by Ctrl-C   141 the reader of the output went away
"""
_MAIN_EXAMPLES = """\
examples:
  object2vec demo                                        # a first look, in less than a minute

  # your own ratings, a line each: {"in0": [1], "in1": [50], "label": 5}
  # says that person 1 gave film 50 five stars; people have the numbers 1 to 943, films 1 to 1682,
  # and vocab_size is the highest number plus 1, or more
  object2vec train --train ratings.jsonl --model-dir model \\
      -p enc0_network=pooled_embedding -p enc0_max_seq_len=1 -p enc0_vocab_size=944 \\
      -p enc1_network=pooled_embedding -p enc1_max_seq_len=1 -p enc1_vocab_size=1684 \\
      -p enc_dim=64 -p comparator_list=hadamard -p mlp_layers=0 \\
      -p output_layer=mean_squared_error -p learning_rate=0.003 -p weight_decay=0.0003 \\
      -p mini_batch_size=256
  echo '{"in0": [1], "in1": [50]}' | object2vec predict --model-dir model

"""
_TRAIN_EXAMPLES = """\
With --train the files are named directly; without it the job follows SageMaker's contract under
--base: input/config/hyperparameters.json, input/data/train, …, model, output/failure.

A data file holds one pair a line: {"label": 1, "in0": [6, 17], "in1": [16, 21]}
A file of hyperparameters is an object: {"enc0_max_seq_len": 50, "enc0_vocab_size": 40000}
Training starts anew each time; its first epoch's model replaces an older one in the folder.

examples:
  object2vec train --train train.jsonl --validation validation.jsonl --model-dir model \\
      --hyperparameters hyperparameters.json -p epochs=5
  object2vec train --base /opt/ml

"""
_VALIDATE_EXAMPLES = """\
examples:
  object2vec validate --train train.jsonl --hyperparameters hyperparameters.json
  object2vec validate --base /opt/ml

"""
_PREDICT_EXAMPLES = """\
An instance with in0 and in1 is answered by its scores, one with a single input by its embedding.
JSON Lines are answered line by line as they come, whatever their number; other keys are ignored.

examples:
  echo '{"in0": [1], "in1": [50]}' | object2vec predict --model-dir model
  object2vec predict --model-dir model --input pairs.jsonl --output scores.jsonl
  object2vec predict --model-dir model --input request.json --content-type application/json

"""
_SERVE_EXAMPLES = """\
POST /invocations takes application/json and application/jsonlines; GET /ping answers 200 while a
worker can answer. Needs the serving parts: pip install 'object2vec[serve]'.

examples:
  object2vec serve --model-dir model
  curl -H 'Content-Type: application/json' http://127.0.0.1:8080/invocations \\
      -d '{"instances": [{"in0": [1], "in1": [50]}]}'

"""
_DESCRIBE_EXAMPLES = """\
With --tuning-job, hyperparameters that are given are the same in all jobs; what --search names, or
else all that is not given, is searched. The objective is the validation loss, or what
-p _tuning_objective_metric names.

examples:
  object2vec describe >hyperparams.json
  object2vec describe --metric-definitions >metrics.json
  object2vec describe --tuning-job --hyperparameters hyperparameters.json \\
      --search learning_rate --search enc_dim >tuning.json

"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong option like every other mistake: one sentence, exit code 1."""

    lists_hyperparameters = False

    def error(self, message: str) -> NoReturn:
        raise CustomerError(f"{bounded(message, 600)} (see {self.prog} --help).")

    def format_help(self) -> str:
        text = super().format_help()
        if not self.lists_hyperparameters:
            return text
        # Only help needs the texts, so that the declaration is not imported for anything else.
        from object2vec.hyperparameters.checked import help_items

        lines = ["", "hyperparameters, for -p NAME=VALUE and --hyperparameters:"]
        for name, description in help_items():
            lines.append(f"  {name}")
            lines += textwrap.wrap(
                description, 92, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        return text + "\n".join(lines) + "\n"


def main(arguments: Optional[Sequence[str]] = None, *, stop: Optional[StopRequest] = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    stop : StopRequest, optional
        Takes signals already; for `train` alone, which else takes them while it runs.

    Returns
    -------
    int
        Exit code.
    """
    try:
        options = _parser().parse_args(arguments, argparse.Namespace(stop=stop))
        return int(options.run(options))
    except KeyboardInterrupt:
        _say("Stopped.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Without this the interpreter complains once more when it flushes at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    if isinstance(error, CustomerError):
        _say(failure_text(error))
        return error.exit_code
    # Heavier than an ordinary start needs, so it is imported only here.
    from object2vec.logs import LOGGER_NAME, logging_to
    from object2vec.training_job import exit_code_of, explained

    known = explained(error)
    code = exit_code_of(known)
    if code == AlgorithmError.exit_code:
        with logging_to(sys.stderr):
            logging.getLogger(LOGGER_NAME).error("The traceback of the failure:", exc_info=error)
    _say(failure_text(known))
    return code


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no whole number") from None


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _parser() -> _Parser:
    parser = _Parser(
        prog="object2vec",
        description="Learns embeddings of pairs of objects from their relation; Amazon "
        "SageMaker's Object2Vec on Apache MXNet.",
        epilog=_MAIN_EXAMPLES + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"object2vec {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    # Through set_defaults rather than required=True, to answer a bare call with the whole help.
    parser.set_defaults(run=lambda _options: _print_help(parser))

    train = _add(commands, "train", "train a model", _TRAIN_EXAMPLES)
    train.lists_hyperparameters = True
    _add_job_options(train)
    train.set_defaults(run=_train)

    validate = _add(
        commands, "validate", "check hyperparameters and data, train nothing", _VALIDATE_EXAMPLES
    )
    _add_job_options(validate)
    validate.set_defaults(run=_validate)

    predict = _add(commands, "predict", "scores of pairs, or embeddings", _PREDICT_EXAMPLES)
    predict.add_argument("--model-dir", required=True, metavar="DIR", help=_MODEL_HELP)
    predict.add_argument("--input", metavar="FILE", help="default: standard input")
    predict.add_argument("--output", metavar="FILE", help="default: standard output")
    predict.add_argument(
        "--content-type",
        metavar="TYPE",
        default="application/jsonlines",
        help="of the input: application/jsonlines (default) or application/json, also with "
        "'; infer_max_seqlens=50,60' to cut in0 and in1 at other lengths than in training",
    )
    predict.add_argument("--accept", metavar="TYPE", help="of the output; default: as the input")
    predict.set_defaults(run=_predict)

    serve = _add(commands, "serve", "answer requests over HTTP", _SERVE_EXAMPLES)
    serve.add_argument("--model-dir", required=True, metavar="DIR", help=_MODEL_HELP)
    serve.add_argument(
        "--port",
        type=_whole_number,
        metavar="PORT",
        help="default: $SAGEMAKER_BIND_TO_PORT or 8080; at most 32766",
    )
    serve.add_argument(
        "--workers",
        type=_whole_number,
        metavar="N",
        help="Python processes that answer (default: $SAGEMAKER_MODEL_SERVER_WORKERS, or as many "
        "as cores and memory allow)",
    )
    serve.add_argument(
        "--host",
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine only; 0.0.0.0: everywhere)",
    )
    serve.set_defaults(run=_serve)

    describe = _add(
        commands,
        "describe",
        "print hyperparams.json, what SageMaker's CreateAlgorithm takes",
        _DESCRIBE_EXAMPLES,
    )
    instead = describe.add_mutually_exclusive_group()
    instead.add_argument(
        "--metric-definitions",
        action="store_true",
        help="print the metrics of the log instead, as a job with an image of one's own names them",
    )
    instead.add_argument(
        "--tuning-job",
        action="store_true",
        help="print objective, ranges and metrics instead, as CreateHyperParameterTuningJob takes "
        "them",
    )
    _add_hyperparameter_options(describe)
    describe.add_argument(
        "--search",
        metavar="NAME",
        action="append",
        default=[],
        help="a hyperparameter that the tuning job searches, given or not; may be repeated",
    )
    describe.set_defaults(run=_describe)

    demo = _add(commands, "demo", "train on film ratings and show what was learned", "")
    demo.add_argument(
        "--model-dir",
        metavar="DIR",
        default="object2vec-demo-model",
        help="where the model is written (default: %(default)s)",
    )
    demo.set_defaults(run=_demo)
    return parser


def _add(commands: Any, name: str, summary: str, examples: str) -> _Parser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples + _EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    assert isinstance(parser, _Parser)
    return parser


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    contract = parser.add_argument_group("SageMaker's contract")
    contract.add_argument(
        "--base",
        metavar="DIR",
        help=f"folder of the job (default: ${BASE_VARIABLE} or /opt/ml)",
    )
    direct = parser.add_argument_group("files named directly")
    for name in _DATA_OPTIONS[:3]:
        direct.add_argument(
            f"--{name}", metavar="PATH", help=f"{name} data: a JSON Lines file or a folder of them"
        )
    direct.add_argument(
        "--auxiliary", metavar="DIR", help="folder of pretrained vectors and vocabulary files"
    )
    direct.add_argument("--model-dir", metavar="DIR", help="where the model is written")
    _add_hyperparameter_options(direct)


def _add_hyperparameter_options(options: argparse._ActionsContainer) -> None:
    options.add_argument(
        "--hyperparameters", metavar="FILE", help="a JSON object of names and values"
    )
    options.add_argument(
        "-p",
        metavar="NAME=VALUE",
        dest="parameters",
        action="append",
        default=[],
        help="one hyperparameter; may be repeated and wins over the file",
    )


def _print_help(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 1


def _train(options: argparse.Namespace) -> int:
    from object2vec.logs import LOGGER_NAME, logging_to
    from object2vec.sagemaker.environment import Environment
    from object2vec.training_job import job_from_environment, run

    progress = sys.stderr.isatty()
    with logging_to(sys.stdout):
        if options.train is not None:
            if options.model_dir is None:
                raise CustomerError("--model-dir is missing: it says where the model is written.")
            return run(lambda: _direct_job(options), _say, progress=progress, stop=options.stop)
        environment = Environment(_base(options))
        environment.clear_failure()

        def report(text: str) -> None:
            logging.getLogger(LOGGER_NAME).error("%s", text)
            environment.write_failure(text)
            _say(text)

        return run(
            lambda: job_from_environment(environment),
            report,
            progress=progress,
            stop=options.stop,
        )


def _validate(options: argparse.Namespace) -> int:
    from object2vec.logs import logging_to
    from object2vec.sagemaker.environment import Environment
    from object2vec.training_job import job_from_environment, read_inputs, summary

    with logging_to(sys.stderr, logging.WARNING):
        if options.train is not None:
            job = _direct_job(options)
        else:
            job = job_from_environment(Environment(_base(options)))
        print(summary(read_inputs(job)))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from object2vec.backend.engine_type import choose_engine
    from object2vec.logs import logging_to
    from object2vec.model.model_archives import is_archive
    from object2vec.model.model_files import check_model
    from object2vec.serving.formats import format_answer, infer, parse_body, read_requests
    from object2vec.serving.media_types import JSON_LINES, choose_accept, parse_content_type

    content_type = parse_content_type(options.content_type)
    accept = choose_accept(options.accept, content_type)
    # Found in no time; the model's loader would need MXNet first. An archive is unpacked once.
    if not is_archive(options.model_dir):
        check_model(options.model_dir)
    streaming = content_type.media_type == accept == JSON_LINES
    with logging_to(sys.stderr, logging.WARNING), _input(options.input) as source:
        choose_engine()
        from object2vec.inference.predictor import Predictor

        predictor = Predictor.load(options.model_dir)
        predictor.warn_of_fallback()
        with _output(options.output) as target:
            if streaming:
                requests = read_requests(source, predictor.hyperparameters)
            else:
                body = source.read()
                requests = iter(
                    [parse_body(body, content_type.media_type, predictor.hyperparameters)]
                )
            for request in requests:
                answer = infer(request, predictor, content_type.max_seq_lens)
                target.write(format_answer(answer, accept))
                target.flush()
    return 0


def _serve(options: argparse.Namespace) -> int:
    from object2vec.serving.stopping import Stopped, noted_signals

    # Before the heavier imports: from here on SIGTERM is no failure.
    with noted_signals(until_exit=True) as stop, contextlib.suppress(Stopped):
        from object2vec.logs import logging_to
        from object2vec.serving.server import LOOPBACK, serve

        with logging_to(sys.stdout):
            return serve(
                options.model_dir,
                host=options.host or LOOPBACK,
                port=options.port,
                workers=options.workers,
                stop=stop,
            )
    return 0


def _describe(options: argparse.Namespace) -> int:
    from object2vec.sagemaker.algorithm import json_text, metric_definitions, render

    given = _hyperparameter_options(options) + (["--search"] if options.search else [])
    if given and not options.tuning_job:
        raise CustomerError(f"{' and '.join(given)} can only be used together with --tuning-job.")
    if options.metric_definitions:
        sys.stdout.write(json_text(metric_definitions()))
    elif options.tuning_job:
        from object2vec.sagemaker.tuning_job import describe

        described, notes = describe(_configuration(options), options.search)
        for note in notes:
            _say(note)
        sys.stdout.write(json_text(described))
    else:
        sys.stdout.write(render())
    return 0


def _demo(options: argparse.Namespace) -> int:
    from object2vec.demo import run

    return run(Path(options.model_dir))


def _base(options: argparse.Namespace) -> Path:
    given = [f"--{name}" for name in _DATA_OPTIONS[1:] if getattr(options, name) is not None]
    given += ["--model-dir"] if options.model_dir is not None else []
    given += _hyperparameter_options(options)
    if given:
        raise CustomerError(f"{', '.join(given)} can only be used together with --train.")
    from object2vec.sagemaker.environment import DEFAULT_BASE

    base = Path(options.base or os.environ.get(BASE_VARIABLE) or DEFAULT_BASE)
    if not base.is_dir():
        raise CustomerError(
            f"The folder {base} does not exist: name the job's folder with --base, or the data "
            "with --train, --model-dir and -p."
        )
    return base


def _direct_job(options: argparse.Namespace) -> Job:
    from object2vec.sagemaker.environment import Channel
    from object2vec.training_job import Job

    if options.base is not None:
        raise CustomerError("--base and --train exclude each other.")
    paths = {name: getattr(options, name) for name in _DATA_OPTIONS}
    return Job(
        configuration=_configuration(options),
        source=options.hyperparameters or "the command line",
        channels={
            name: Channel(path=Path(path), content_type=None)
            for name, path in paths.items()
            if path is not None
        },
        model_dir=None if options.model_dir is None else Path(options.model_dir),
        model_dir_option="--model-dir",
    )


def _hyperparameter_options(options: argparse.Namespace) -> list[str]:
    """Those of the two options that are given."""
    given = ["--hyperparameters"] if options.hyperparameters is not None else []
    return given + (["-p"] if options.parameters else [])


def _configuration(options: argparse.Namespace) -> dict[str, Any]:
    return {**_read_configuration(options.hyperparameters), **_given(options.parameters)}


def _read_configuration(file: Optional[str]) -> Mapping[str, Any]:
    if file is None:
        return {}
    from object2vec.sagemaker.environment import read_json_object

    return read_json_object(Path(file))


def _given(parameters: Sequence[str]) -> dict[str, str]:
    values = {}
    for parameter in parameters:
        name, sign, value = parameter.partition("=")
        if not sign or not name:
            raise CustomerError(
                f"-p {named(parameter)} must have the form NAME=VALUE, as in -p epochs=5."
            )
        values[name.strip()] = value
    return values


@contextlib.contextmanager
def _input(file: Optional[str]) -> Iterator[BinaryIO]:
    if file is None:
        if sys.stdin is None:
            raise CustomerError("Standard input is closed: name the input by --input.")
        if sys.stdin.isatty():
            _say("Reading from the terminal; Ctrl-D ends the input.")
        yield sys.stdin.buffer
        return
    import gzip
    import zlib

    from object2vec.files import open_input

    try:
        stream = open_input(file)
    except OSError as error:
        raise CustomerError(f"{named(file)} cannot be read: {error.strerror}.") from None
    try:
        with stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CustomerError(
            f"The gzip file {named(file)} is damaged or incomplete: {error}"
        ) from None


@contextlib.contextmanager
def _output(file: Optional[str]) -> Iterator[BinaryIO]:
    if file is None or _is_standard_output(file):
        if sys.stdout is None:
            raise CustomerError("Standard output is closed: name the output by --output.")
        yield sys.stdout.buffer
        return
    from object2vec.files import atomic_write

    path = Path(file)
    if not path.parent.is_dir():
        raise CustomerError(f"{path} cannot be written: the folder {path.parent} does not exist.")
    if path.exists() and not path.is_file():
        # A pipe or a device cannot be replaced by a finished file.
        with path.open("wb") as stream:
            yield stream
        return
    with atomic_write(path) as stream:
        yield stream


def _is_standard_output(file: str) -> bool:
    """Whether a name such as /dev/stdout leads there; a file in its place would be lost."""
    try:
        return os.path.samestat(os.stat(file), os.fstat(1))
    except OSError:
        return False
