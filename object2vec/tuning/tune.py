# SPDX-License-Identifier: Apache-2.0
"""The Python API of a study: `object2vec.tune`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from object2vec.estimator.estimator import Object2Vec
from object2vec.estimator.options import FitOptions
from object2vec.estimator.pipeline import are_labels
from object2vec.estimator.training_data import TableRequest
from object2vec.files import check_model_folder
from object2vec.hyperparameters.given import GivenHyperparameters
from object2vec.tuning.plan import Plan, check_validation
from object2vec.tuning.results import Tuning
from object2vec.tuning.space import Search, first_training, space_of
from object2vec.tuning.storage import check_study_file, optuna_module
from object2vec.tuning.study import print_line, run_study, silent, study_file

if TYPE_CHECKING:
    from object2vec.estimator.answers import PathLike, Table
    from object2vec.estimator.from_table import KeptBack
    from object2vec.prepare.columns import Columns
    from object2vec.prepare.delimited import Layout
    from object2vec.prepare.splits import Split


def tune(
    train: Table,
    validation: KeptBack = None,
    test: KeptBack = None,
    auxiliary: Optional[PathLike] = None,
    *,
    y: Any = None,
    in0: Optional[Columns] = None,
    in1: Optional[Columns] = None,
    label: Optional[Union[str, int]] = None,
    label_kind: str = "auto",
    weight: Optional[Union[str, int]] = None,
    split: Optional[Split] = None,
    preset: Optional[str] = "auto",
    layout: Optional[Layout] = None,
    search: Search = (),
    trials: int = 20,
    study: Optional[PathLike] = None,
    model_dir: Optional[PathLike] = None,
    jobs: int = 1,
    timeout: Optional[float] = None,
    prune: bool = True,
    refit: bool = False,
    verbose: int = 1,
    **parameters: Any,
) -> tuple[Object2Vec, Tuning]:
    """Search hyperparameters by a study of trainings, judged by validation.

    The first trial is the training that `fit` would make of the same data and parameters. Further
    ones are drawn by Optuna's TPE; what is worse than three quarters of the others at its epoch is
    ended. Each training runs in a process of its own. One that fails, such as by a loss that
    diverges, is a failed trial.

    Parameters
    ----------
    train, validation, test, auxiliary, y
        As of `Object2Vec.fit`. Validation is needed; trials are judged by its loss at their best
        epoch, or by `early_stopping_metric`. Test pairs are scored once, by the best model.
    in0, in1, label, label_kind, weight, split, preset, layout
        What a table's columns are, and more; see `Object2Vec.from_table`.
    search : sequence of str, or mapping
        Names of the hyperparameters that are searched; by default all that have a documented range
        and are not given. A mapping gives ranges: ``{"learning_rate": (1e-4, 0.1), "enc_dim": [32,
        64], "dropout": None}``, with None for the documented one.
    trials : int
        How many trials the study is to have, of all that has ended in it before too.
    study : path, optional
        File of SQLite that keeps the trials. A study that was killed goes on by the same call.
    model_dir : path, optional
        Where the best model is written.
    jobs : int
        Trainings at a time.
    timeout : float, optional
        Seconds after which no trial begins.
    prune : bool
        Whether trials are ended that are worse than others at their epoch.
    refit : bool
        Whether the best setting is trained anew on train and validation pairs, for as many epochs.
    verbose : int
        1: print a line a trial; 0: nothing.
    **parameters
        As the class `Object2Vec` takes them: fixed, unless `search` names them.

    Returns
    -------
    model : Object2Vec
        The best model.
    tuning : Tuning
        All trials; prints as a table.

    Raises
    ------
    CustomerError
        One sentence about the first thing that is not right; also where Optuna is not installed, or
        no trial was complete.

    Examples
    --------
    >>> import object2vec
    >>> rows = [{"user": f"u{n % 7}", "film": f"f{n % 5}", "stars": n % 5} for n in range(200)]
    >>> model, tuning = object2vec.tune(
    ...     rows, 0.2, in0="user", in1="film", label="stars", search={"learning_rate": (1e-3, 0.1)},
    ...     trials=2, epochs=1, seed=1, verbose=0)
    >>> len(tuning.trials)
    2
    """
    optuna_module()
    table = TableRequest(in0, in1, label, label_kind, weight, split, preset, layout)
    if y is None and are_labels(validation, train):
        y, validation = validation, None
    asked = Object2Vec(**parameters)
    options = FitOptions(asked._given, asked._hyperparameters, (), verbose, None)
    with study_file(study) as file, tempfile.TemporaryDirectory(prefix="object2vec-") as own:
        check_study_file(file)
        folder = Path(own if model_dir is None else model_dir)
        check_model_folder(folder)
        kept_back = {"validation": validation, "test": test}
        data = asked._read(table, train, y, kept_back, auxiliary, options)
        parts = dict(zip(("train", "validation", "test"), data.parts))
        check_validation(parts)
        configuration = dict(data.configuration)
        if parameters.get("device") is not None:
            configuration["_num_gpus"] = options.sized.num_gpus
        fixed = GivenHyperparameters(asked._values(asked._given, asked._named)).given
        configuration, resolved = first_training(
            configuration, options.hyperparameters, fixed, search
        )
        plan = Plan(
            configuration=configuration,
            space=space_of(configuration, resolved, fixed, search),
            datasets={name: pairs for name, pairs in parts.items() if pairs is not None},
            study=file,
            model_dir=folder,
            auxiliary=data.auxiliary,
            inputs=data.inputs,
            refit=refit,
            prunes=prune,
        )
        found = run_study(
            plan,
            resolved,
            trials=trials,
            jobs=jobs,
            seconds=timeout,
            seed=resolved.seed,
            told=print_line if verbose else silent,
        )
        return Object2Vec.load(folder, parameters.get("device")), found
