# SPDX-License-Identifier: Apache-2.0
"""Studies: what is searched, failed and pruned trials, killed and resumed, the best model kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_rows import write_csv

import object2vec
from object2vec import Object2Vec, Tuning
from object2vec.cli import main
from object2vec.errors import CustomerError
from object2vec.hyperparameters.checked import parse
from object2vec.tuning.space import Range, read_search, space_of, start_of
from object2vec.tuning.storage import (
    check_study_file,
    held,
    open_study,
    optuna_module,
    prepare_study,
    trials_of,
)
from object2vec.tuning.trials import COMPLETE, FAILED, PRUNED, Trial
from object2vec.tuning.worker import Reporter, pruner_of

SIZES = {"enc0_max_seq_len": "5", "enc0_vocab_size": "50"}
RNG = np.random.default_rng(7)
ROWS = [
    {"user": f"u{user}", "film": f"f{film}", "stars": int(1 + user % 3 + film % 3)}
    for user, film in RNG.integers(12, size=(300, 2)).tolist()
]
COLUMNS: dict[str, Any] = {"in0": "user", "in1": "film", "label": "stars"}
FIXED: dict[str, Any] = {"epochs": 6, "enc_dim": 4, "seed": 5}


def space(search: Any = (), fixed: Any = (), **given: str) -> dict[str, Range]:
    configuration = {**SIZES, **given}
    return space_of(configuration, parse(configuration)[0], {*SIZES, *fixed}, search)


def test_what_has_a_documented_range_is_searched() -> None:
    found = space(enc0_network="pooled_embedding", output_layer="mean_squared_error")
    assert {"learning_rate", "optimizer", "mlp_dim", "learning_rate_schedule"} <= set(found)
    assert not {"temperature", "enc0_layers", "enc1_token_embedding_dim"} & set(found)
    assert found["learning_rate"] == Range("learning_rate", 1e-6, 1.0, True)
    assert found["weight_decay"] == Range("weight_decay", 1e-6, 1.0, True)
    assert found["mini_batch_size"] == Range("mini_batch_size", 1, 8192, True)
    assert found["dropout"] == Range("dropout", 0.0, 1.0)
    assert "adamw" in found["optimizer"].choices
    kept = space(fixed=["learning_rate"], learning_rate="0.01", scorer="dot")
    assert not {"learning_rate", "mlp_dim"} & set(kept)


def test_what_a_user_names_is_searched() -> None:
    search = read_search(["learning_rate=0.001:0.1", "enc_dim=8,16", "dropout", "epochs=2:5"])
    found = space(search, ["enc_dim"], enc_dim="12")
    assert found == {
        "enc_dim": Range("enc_dim", choices=(12, 8, 16)),
        "dropout": Range("dropout", 0.0, 1.0),
        "learning_rate": Range("learning_rate", 0.001, 0.1, True),
        "epochs": Range("epochs", 2, 5),
    }
    resolved = parse({**SIZES, "enc_dim": "12", "epochs": "30"})[0]
    # what the first training has, or what is nearest to it
    assert start_of(found, resolved) == {
        "enc_dim": 12, "dropout": 0.0, "learning_rate": 0.001, "epochs": 5
    }  # fmt: skip
    comparators = space({"comparator_list": ["hadamard", "hadamard,concat"]})["comparator_list"]
    assert comparators.choices == ("hadamard,concat,abs_diff", "hadamard", "hadamard,concat")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        pytest.param(["learning_rat"], "the nearest is 'learning_rate'|did you mean", id="name"),
        pytest.param(["output_layer"], "cannot be searched", id="one for all"),
        pytest.param(["scorer"], "has no documented range", id="no range"),
        pytest.param(["temperature"], "would have no effect", id="no effect"),
        pytest.param({"temperature": (0.1, 1)}, "would have no effect", id="no effect, a range"),
        pytest.param({"enc_dim": (8, 4)}, "must begin below its end", id="ends"),
        pytest.param({"enc_dim": (8, 40000)}, "'enc_dim'", id="too large"),
        pytest.param({"enc_dim": 8}, "in a range, a tuple of two numbers", id="no range given"),
        pytest.param({"optimizer": ["adam", "adm"]}, "'optimizer'", id="choice"),
    ],
)
def test_what_cannot_be_searched_is_told(search: Any, words: str) -> None:
    with pytest.raises(CustomerError, match=words):
        space(search)
    with pytest.raises(CustomerError, match="must name two numbers"):
        read_search(["learning_rate=1:x"])


def test_results_print_and_become_json() -> None:
    found = Tuning(
        "validation_auc", "maximize", 1,
        [
            Trial(0, COMPLETE, 0.5, {}, 3, 2, 1.0), Trial(1, COMPLETE, 0.75, {"enc_dim": 8}, 4, 1),
            Trial(2, FAILED, None, {"enc_dim": 9}, error="The loss became NaN."),
            Trial(3, PRUNED, 0.9, {"enc_dim": 7}, 1),
        ],
        {"enc_dim": "4 to 9"}, {"enc_dim": 5}, {"accuracy": 0.5},
    )  # fmt: skip
    assert Tuning.from_dict(json.loads(found.to_json())) == found
    assert found.best_setting == {"enc_dim": 8} and found.best_value == 0.75
    rows = [line.split()[:3] for line in str(found).splitlines()[1:5]]
    assert rows == [
        ["1*", "complete", "0.75"], ["0", "complete", "0.5"], ["3", "pruned", "0.9"],
        ["2", "failed", "0"],
    ]  # fmt: skip
    assert "The start, trial 0, has 0.5." in str(found)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Object2Vec, Tuning, Path]:
    """A study in which some trainings diverge, refitted and tested."""
    folder = tmp_path_factory.mktemp("study")
    rows = [{**row, "stars": 10_000 * row["stars"]} for row in ROWS]
    model, tuning = object2vec.tune(
        rows, 0.2, rows[:50], **COLUMNS, **FIXED, optimizer="sgd", learning_rate=1e-5,
        search={"learning_rate": [1.0, 0.9]}, trials=4, study=folder / "study.db", refit=True,
        verbose=0,
    )  # fmt: skip
    return model, tuning, folder / "study.db"


@pytest.mark.slow
def test_a_study_is_read_from_its_file_or_json(
    tuned: tuple[Object2Vec, Tuning, Path], tmp_path: Path
) -> None:
    _, found, study = tuned
    loaded = Tuning.load(study)
    assert loaded == replace(found, test=None, model_dir="", refit=False)
    assert loaded.start == {"learning_rate": 1e-5}
    written = tmp_path / "trials.json"
    written.write_text(found.to_json())
    assert Tuning.load(written) == found


@pytest.mark.parametrize(
    ("written", "words"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param(b"", "it is no JSON", id="empty"),
        pytest.param(b"user,film\n", "it is no JSON", id="a table"),
        pytest.param(b"[" * 100_000, "it is no JSON", id="deep"),
        pytest.param(b"[1]", "it is no object", id="a list"),
        pytest.param(b'{"task": "numbers"}', "its metric is null", id="an evaluation"),
        pytest.param({"best": "1"}, 'its best is "1"', id="best"),
        pytest.param({"trials": [{}]}, "its trial 0, counting from 0, is {}", id="trial"),
        pytest.param(
            {"trials": [{"number": 0, "state": "done", "value": 1}]}, "its trial 0", id="state"
        ),
        pytest.param(
            {"trials": [{"number": 0, "state": "complete", "value": None}]}, "trial 0", id="value"
        ),
        pytest.param({"best": 5}, "no complete trial yet", id="none complete"),
        pytest.param({"best": True}, "its best is true", id="no number"),
        pytest.param({"direction": "up"}, 'its direction is "up"', id="direction"),
        pytest.param({"test": "good"}, 'its test is "good"', id="test"),
        pytest.param({"test": {"auc": "good"}}, 'its test is {"auc":"good"}', id="metrics"),
        pytest.param({"space": {"enc_dim": 3}}, 'its space is {"enc_dim":3}', id="space"),
        pytest.param({"start": {"enc_dim": {}}}, 'its start is {"enc_dim":{}}', id="start"),
        pytest.param({"refit": "no"}, 'its refit is "no"', id="refit"),
        *(
            pytest.param(
                {"trials": [{"number": 0, "state": "complete", "value": 1.0, **more}]},
                "its trial 0, counting from 0, is ", id=f"a trial of {next(iter(more))}",
            )
            for more in (
                {"value": 10**400}, {"seconds": 10**400}, {"number": 10**400}, {"epochs": 1.5},
                {"setting": {"enc_dim": 10**400}}, {"best_epoch": "1"},
            )
        ),
    ],
)  # fmt: skip
def test_what_is_no_study_is_refused(tmp_path: Path, written: Any, words: str) -> None:
    path = tmp_path / "study"
    if isinstance(written, dict):
        trials = [Trial(0, COMPLETE, 0.5), Trial(5, FAILED, None)]
        whole = Tuning("validation_auc", "maximize", 0, trials).to_dict()
        written = json.dumps({**whole, **written}).encode()
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(CustomerError, match=re.escape(words)):
        Tuning.load(path)
    if words.startswith("its "):
        with pytest.raises(CustomerError, match=re.escape(words)):
            Tuning.from_dict(json.loads(path.read_bytes()))


def test_a_pipe_is_no_study(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (Tuning.load, check_study_file):
        with pytest.raises(CustomerError, match=r"pipe cannot be read: it is a pipe, not a file\."):
            read(tmp_path / "pipe")


def test_a_database_without_a_complete_trial_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    prepare_study(path, {"direction": "minimize", "metric": "validation_auc", "space": {}}, 1)
    with pytest.raises(CustomerError, match="no complete trial yet"):
        Tuning.load(path)
    optuna = optuna_module()
    other = tmp_path / "other.db"
    optuna.create_study(study_name="theirs", storage=f"sqlite:///{other}")
    with pytest.raises(CustomerError, match="no study that object2vec has made"):
        Tuning.load(other)
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id)")
        connection.commit()
    with pytest.raises(CustomerError, match="holds no study, but orders"):
        Tuning.load(tmp_path / "shop.db")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CustomerError, match=r"damaged\.db"):
        Tuning.load(damaged)


@pytest.mark.slow
@pytest.mark.both_ways
def test_a_training_that_diverges_is_a_failed_trial(
    tuned: tuple[Object2Vec, Tuning, Path],
) -> None:
    _, found, _ = tuned
    states = {trial.setting.get("learning_rate", 1e-5): trial.state for trial in found.trials}
    assert len(found.trials) == 4
    assert states.pop(1e-5) == COMPLETE and set(states.values()) == {FAILED}
    errors = {trial.error for trial in found.trials if trial.state == FAILED}
    assert all("lower 'learning_rate'" in error for error in errors)
    assert found.best_setting["learning_rate"] < 1


def test_the_first_trial_is_the_training_itself(tuned: tuple[Object2Vec, Tuning, Path]) -> None:
    model, found, _ = tuned
    rows = [{**row, "stars": 10_000 * row["stars"]} for row in ROWS]
    given = {**COLUMNS, **FIXED, "optimizer": "sgd"}
    start = Object2Vec.from_table(rows, validation=0.2, learning_rate=1e-5, **given)
    assert found.trials[0].setting == {}
    assert found.trials[0].value == pytest.approx(start.best_loss, rel=1e-4)
    best = Object2Vec.from_table(
        rows, validation=0.2, test=rows[:50], refit=True, **{**given, **found.best_setting}
    )
    assert found.best_value == pytest.approx(best.best_loss, rel=1e-4)
    np.testing.assert_allclose(model.predict(rows), best.predict(rows), rtol=1e-3)
    assert found.test is not None
    expected = model.evaluate(rows[:50])["mean_squared_error"]
    assert found.test["mean_squared_error"] == pytest.approx(expected, rel=1e-5)


def test_a_study_goes_on_with_the_same_alone(
    tuned: tuple[Object2Vec, Tuning, Path], tmp_path: Path
) -> None:
    study = tuned[2]
    rows = [{**row, "stars": 10_000 * row["stars"]} for row in ROWS]
    given = {
        **COLUMNS, **FIXED, "optimizer": "sgd", "learning_rate": 1e-5, "study": study,
        "search": {"learning_rate": [1.0, 0.9]}, "verbose": 0,
    }  # fmt: skip
    for changed, words in (
        ({"search": {"learning_rate": [0.5, 0.9]}}, "another search"),
        ({"epochs": 3}, "other hyperparameters"),
        ({"seed": 6}, "has the seed 5, but 6 is given"),
    ):
        with pytest.raises(CustomerError, match=words):
            object2vec.tune(rows, 0.2, rows[:50], **{**given, **changed})
    with pytest.raises(CustomerError, match="was made with other data"):
        object2vec.tune(rows, 0.3, rows[:50], **given)
    with held(study), pytest.raises(CustomerError, match="Another process works on the study"):
        object2vec.tune(rows, 0.2, rows[:50], **given)
    assert [trial.number for trial in trials_of(open_study(study))] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param({"validation": None}, "judges its trainings by validation", id="validation"),
        pytest.param({"trials": 0}, "trials must be a whole number from 1", id="trials"),
        pytest.param({"jobs": 1.5}, "jobs must be a whole number from 1", id="jobs"),
        pytest.param({"timeout": -1}, "timeout must be seconds", id="timeout"),
        pytest.param({"study": "no.db"}, "no file of a study", id="no SQLite"),
        pytest.param({"study": "others.db"}, "holds no study, but bills", id="others"),
        pytest.param({"study": "no/folder/study.db"}, "does not exist", id="no folder"),
        pytest.param({"search": ["enc_dims"]}, "enc_dim", id="search"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    given: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("no.db").write_text("user,film\n")
    with contextlib.closing(sqlite3.connect("others.db")) as connection:
        connection.execute("CREATE TABLE bills (amount)")
    others = Path("others.db").read_bytes()
    with pytest.raises(CustomerError, match=words):
        object2vec.tune(ROWS, **{"validation": 0.2, **COLUMNS, "epochs": 1, **given})
    assert Path("no.db").read_text() == "user,film\n"
    assert Path("others.db").read_bytes() == others


@pytest.mark.parametrize("prunes", [True, False], ids=["pruned", "to the end"])
def test_what_is_worse_than_three_quarters_ends(prunes: bool) -> None:
    optuna = optuna_module()
    study = optuna.create_study(pruner=pruner_of(prunes))

    def epochs_of(loss: float) -> int:
        """After how many of 6 epochs a training ends that has this loss in each."""
        trial = study.ask()
        reporter = Reporter(trial, "validation_loss")
        for epoch in range(6):
            if reporter.on_epoch_end({"epoch": epoch, "validation_loss": loss}):
                break
        study.tell(trial, loss)
        return epoch + 1

    assert [epochs_of(loss) for loss in (9.0, 1.0, 2.0, 3.0, 4.0)] == [6] * 5
    assert [epochs_of(loss) for loss in (8.0, 3.5)] == ([3, 6] if prunes else [6, 6])


def test_without_optuna_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(CustomerError, match=r"pip install 'object2vec\[tune\]'"):
        object2vec.tune(ROWS, 0.2, **COLUMNS)


def ended(study: Path) -> int:
    """How many trials have ended, while the file may be in the making."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{study}?mode=ro", uri=True)) as database:
            states = "'COMPLETE', 'PRUNED', 'FAIL'"
            query = f"SELECT count(*) FROM trials WHERE state IN ({states})"
            return int(database.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def children(process: int) -> list[int]:
    return [
        int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def wait_for(condition: Any, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_that_ends_while_it_writes_the_model_ends_no_study(tmp_path: Path) -> None:
    table, folder = write_csv(tmp_path / "ratings.csv", ROWS), tmp_path / "model"
    command = [
        *("tune", "--train", str(table), "--in0", "user", "--in1", "film", "--label", "stars"),
        *("--validation", "0.2", "--search", "learning_rate=0.0001:0.1", "--trials", "5"),
        *("-p", "epochs=1", "-p", "enc_dim=4096", "--model-dir", str(folder)),
        *("--output", str(tmp_path / "trials.json")),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "object2vec", *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("trial 0 "):
                # it is told before its worker is asked to write the model
                assert line.endswith("(the best so far)\n")
                (worker,) = children(process.pid)
                os.kill(worker, signal.SIGKILL)
    assert process.returncode == 0
    assert len(Tuning.load(tmp_path / "trials.json").trials) == 5
    assert Object2Vec.load(folder).hyperparameters["enc_dim"] == 4096


@pytest.mark.slow
def test_workers_that_ask_at_once_are_given_different_trials() -> None:
    """Optuna gave the enqueued start to two of them."""
    for _ in range(3):
        _, found = object2vec.tune(
            ROWS, 0.2, **COLUMNS, search={"learning_rate": (1e-3, 0.1)}, trials=4, jobs=3,
            epochs=1, enc_dim=4, verbose=0,
        )  # fmt: skip
        assert sorted(trial.number for trial in found.trials) == [0, 1, 2, 3]
        assert [trial.number for trial in found.trials if not trial.setting] == [0]


@pytest.mark.slow
def test_a_width_that_is_searched_is_that_of_one_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe has eight, whose number most widths are no multiple of."""
    given: dict[str, Any] = {**COLUMNS, "trials": 2, "epochs": 1, "verbose": 0, "seed": 1}
    _, found = object2vec.tune(ROWS, 0.2, search={"enc_dim": (5, 7)}, **given)
    assert found.start == {"enc_dim": 64}
    assert [trial.state for trial in found.trials] == [COMPLETE, COMPLETE]
    model, _ = object2vec.tune(ROWS, 0.2, search={"learning_rate": (1e-3, 0.1)}, **given)
    assert (model.hyperparameters["ensemble_size"], model.hyperparameters["enc_dim"]) == (8, 512)
    with pytest.raises(CustomerError, match="a search of enc_dim would have no effect or be"):
        object2vec.tune(ROWS, 0.2, search=["enc_dim"], **given, ensemble_size=2)
    table = write_csv(tmp_path / "ratings.csv", ROWS)
    command = ["tune", "--train", str(table), "--in0", "user", "--in1", "film", "--label", "stars"]
    command += ["--validation", "0.2", "--trials", "1", "--search", "enc_dim=5,7", "--json"]
    assert main([*command, "-p", "epochs=1", "--model-dir", str(tmp_path / "model")]) == 0
    assert json.loads(capsys.readouterr().out)["start"] == {"enc_dim": 64}


@pytest.mark.slow
def test_encoders_whose_forms_are_searched_are_not_tied() -> None:
    """The recipe ties those of two texts of one vocabulary, which then have one form."""
    rows = [{"a": f"w{n % 7} x", "b": f"y w{n % 5}", "c": str(n % 2)} for n in range(60)]
    given: dict[str, Any] = {
        "in0": {"name": "a", "kind": "text"}, "in1": {"name": "b", "kind": "text"}, "label": "c",
        "tied_token_embedding_weight": True,
        "enc0_network": "hcnn", "enc1_network": "hcnn", "enc0_token_embedding_dim": 4,
        "enc1_token_embedding_dim": 4, "enc_dim": 8, "epochs": 1, "seed": 1, "trials": 2,
        "verbose": 0,
    }  # fmt: skip
    forms = {"enc1_layers": [1, 2], "enc0_layers": [1]}
    model, found = object2vec.tune(rows, 0.2, search=forms, **given)
    assert [trial.state for trial in found.trials] == [COMPLETE, COMPLETE]
    assert model.hyperparameters["tied_encoders"] is False
    rates = {"learning_rate": (1e-3, 0.1)}
    model, _ = object2vec.tune(rows, 0.2, search=rates, **given)
    assert model.hyperparameters["tied_encoders"] is True
    with pytest.raises(CustomerError, match=r"search of enc0_layers, enc1_layers would have no "):
        object2vec.tune(rows, 0.2, search=forms, **given, tied_encoders=True)
    one_form = {**given, "enc1_network": "enc0"}
    model, found = object2vec.tune(rows, 0.2, search={"enc0_layers": [1, 2]}, **one_form)
    assert [trial.state for trial in found.trials] == [COMPLETE, COMPLETE]
    assert model.hyperparameters["tied_encoders"] is True


def test_a_worker_whose_study_is_gone_ends_without_a_word() -> None:
    own, other = socket.socketpair()
    program = f"from object2vec.tuning.worker import main; main({other.fileno()}, 0, 0)"
    own.close()
    with other:
        ended = subprocess.run(
            [sys.executable, "-c", program], pass_fds=[other.fileno()], capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@pytest.mark.slow
def test_killed_and_resumed_no_trial_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_csv(tmp_path / "ratings.csv", ROWS * 3)
    study, folder = tmp_path / "study.db", tmp_path / "model"
    command = [
        *("tune", "--train", str(table), "--in0", "user", "--in1", "film", "--label", "stars"),
        *("--validation", "0.2", "--search", "learning_rate=0.0001:0.1", "--search", "dropout"),
        *("-p", "epochs=6", "-p", "enc_dim=4", "--model-dir", str(folder), "--study", str(study)),
        *("--trials", "9"),
    ]
    told = tmp_path / "told"
    with told.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "object2vec", *command], stdout=subprocess.DEVNULL, stderr=stderr
        )
    try:
        wait_for(lambda: ended(study) >= 2, process)
        # a worker alone: the study goes on with another one
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        count = ended(study)
        wait_for(lambda: ended(study) >= count + 2 and children(process.pid), process)
        (orphan,) = children(process.pid)
    finally:
        process.kill()
        process.wait()
    before = trials_of(open_study(study))
    assert len(before) < 9
    # its worker ends by itself, at the latest before the next batch
    end = time.monotonic() + 30
    while Path(f"/proc/{orphan}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{orphan}").exists()
    assert "Traceback" not in told.read_text()
    assert main([*command, "--jobs", "2", "--json"]) == 0
    found = Tuning.from_dict(json.loads(capsys.readouterr().out))
    by_number = {trial.number: trial for trial in found.trials}
    assert len(found.trials) == 9
    assert [by_number[trial.number] for trial in before] == before
    values = {t.number: t.value for t in found.trials if t.state == COMPLETE}
    assert found.best == min(values, key=lambda number: (values[number], number))
    model = Object2Vec.load(folder)
    assert model.best_loss == pytest.approx(found.best_value, rel=1e-6)
    assert model.hyperparameters["learning_rate"] == found.best_setting["learning_rate"]
    # once more: nothing is left to do but to see that the model is there
    (folder / "model.json").unlink()
    assert main([*command, "--quiet"]) == 0
    assert Object2Vec.load(folder).best_loss == pytest.approx(found.best_value, rel=1e-4)
    assert len(trials_of(open_study(study))) == 9
