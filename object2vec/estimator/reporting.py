# SPDX-License-Identifier: Apache-2.0
"""The Python API of the report: one page of HTML about a fitted model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from object2vec.assessment.asked import Asked
from object2vec.data.arrays import PairDataset
from object2vec.data.summary import summary
from object2vec.errors import CustomerError
from object2vec.estimator.evaluated_data import DataRequest, asked_data
from object2vec.estimator.reported_objects import MapRequest, listed, mapped
from object2vec.files import atomic_write, check_not_read, check_output_file, unwritable
from object2vec.report.content import Content, Tuned
from object2vec.report.judged import judge
from object2vec.report.page import MOST_POINTS, page
from object2vec.report.projections import check_projections
from object2vec.report.versions import today, versions
from object2vec.text import names, quoted

if TYPE_CHECKING:
    from object2vec.estimator.answers import PathLike
    from object2vec.inference.predictor import Predictor
    from object2vec.prepare.delimited import Layout


class Reporting:
    """What writes a report, where there is a model."""

    _metrics: dict[str, Any]

    def report(
        self,
        path: PathLike,
        data: Any = None,
        *,
        seen: Any = None,
        objects: Any = None,
        colours: Optional[Sequence[str]] = None,
        name: Optional[str] = None,
        projections: Optional[Sequence[str]] = None,
        points: int = MOST_POINTS,
        title: str = "Object2Vec model",
        layout: Optional[Layout] = None,
        study: Optional[Tuned] = None,
    ) -> None:
        """Write one page of HTML that shows what the model has learnt and what it is worth.

        It holds everything and loads nothing. With up to 1,682 objects it has 1 MB at most, with
        50,000 objects 4 MB; names are cut where they are too long for that.

        Parameters
        ----------
        path : path
            The file; an older one is replaced.
        data : like what `evaluate` takes, a list of these, or a dict of them by title, optional
            What the model is judged by, beside baselines.
        seen : like what `evaluate` takes, optional
            What was known before, as a rule the pairs for training: what baselines know. Objects
            are counted in it, too, or else in the first of `data`.
        objects : path, pandas.DataFrame, table of Arrow, list of dicts, or several, optional
            Tables of objects: the column that is called as the first one of in0 or in1 (of a model
            of ids as the side) names them, and others colour them. Of several rows of an object the
            first one counts.
        colours : sequence of str, optional
            The columns that colour them; by default the first six that make groups or a scale.
        name : str, optional
            The column of `objects` whose values they are called by, such as a title.
        projections : sequence of str, optional
            ``pca``, ``tsne`` (needs scikit-learn; at most 5,000 objects) and ``umap`` (needs
            umap-learn); by default those that are installed.
        points : int
            How many objects the map shows at most, the most frequent ones first.
        title : str
            Of the page.
        layout : object2vec.prepare.delimited.Layout, optional
            How files with separators are written.
        study : object2vec.Tuning, optional
            The study that the model is from, as `object2vec.tune` gives it or `Tuning.load` reads
            it: its trials as a table, and a chart of the best so far.

        Raises
        ------
        CustomerError
            One sentence: nothing is fitted, the file cannot be written, or something given is not
            right. An older file then stays.

        Examples
        --------
        >>> from object2vec import Object2Vec
        >>> model = Object2Vec(enc0_max_seq_len=1, enc0_vocab_size=4, enc_dim=8, epochs=1, seed=1)
        >>> pairs = [{"in0": [1], "in1": [2], "label": 1}, {"in0": [1], "in1": [3], "label": 0}]
        >>> model.fit(pairs).report("report.html", pairs, projections=["pca"])  # doctest: +SKIP
        """
        predictor = self._fitted()
        check_output_file(path)
        wanted = check_projections(projections)
        if (
            isinstance(points, bool)
            or not isinstance(points, int)
            or not 1 <= points <= MOST_POINTS
        ):
            raise CustomerError(
                f"points must be a whole number from 1 to {MOST_POINTS:,}, found {quoted(points)}."
            )
        if study is not None and not isinstance(study, Tuned):
            raise CustomerError(
                "study must be an object2vec.Tuning, such as object2vec.Tuning.load('study.db') "
                f"gives, found {quoted(study)}."
            )
        sources = _titled(data)
        check_not_read(path, [*sources.values(), *listed(seen), *listed(objects)])
        asked = {
            title: _asked(predictor, source, seen, layout) for title, source in sources.items()
        }
        first = next(iter(asked.values()), None)
        request = MapRequest(
            objects=listed(objects), sources=[*listed(seen), *sources.values()], colours=colours,
            name=name, projections=wanted, layout=layout, points=points,
            counted=None if first is None else first.known or first.pairs,
        )  # fmt: skip
        self.write_report(path, asked, request, title, study)

    def write_report(
        self,
        path: PathLike,
        asked: Mapping[str, Asked],
        request: MapRequest,
        title: str,
        study: Optional[Tuned] = None,
    ) -> None:
        """Write the page, once all data are read: what `report` and a training job share.

        Parameters
        ----------
        path : path
            The file.
        asked : mapping of str to Asked
            What the model is judged by, by title.
        request : MapRequest
            What the map shows.
        title : str
            Of the page.
        study : Tuned, optional
            The study that the model is from.
        """
        predictor = self._fitted()
        content = Content(
            title, predictor.hyperparameters, self._metrics, predictor.inputs, predictor.complete,
            versions=versions(request.projections), tuned=study,
        )  # fmt: skip
        judged = [judge(predictor, self.classes_, own, pairs) for own, pairs in asked.items()]
        kept = content.data
        further = {own: pairs.pairs for own, pairs in asked.items() if own not in kept}
        shown = mapped(predictor, request, content)
        content = replace(
            content, judged=judged, sides=shown.sides, unmapped=shown.unmapped,
            summaries=summary(further, predictor.hyperparameters.classes),
        )  # fmt: skip
        text = page(content, today())
        try:
            with atomic_write(path) as stream:
                stream.write(text)
        except OSError as error:
            raise unwritable(path, error, "file") from None

    @property
    def classes_(self) -> Optional[list[Any]]:
        raise NotImplementedError

    def _fitted(self) -> Predictor:
        raise NotImplementedError


def trained_request(
    train: PairDataset, source: Any = None, layout: Optional[Layout] = None
) -> MapRequest:
    """What the map of a training shows: objects by their names, coloured by how often they occur.

    Parameters
    ----------
    train : PairDataset
        The pairs for training.
    source : optional
        The table that they are from.
    layout : Layout, optional
        How it is written.
    """
    return MapRequest(
        objects=[], sources=listed(source), colours=None, name=None,
        projections=check_projections(None), layout=layout, counted=train,
    )  # fmt: skip


def _asked(predictor: Predictor, source: Any, seen: Any, layout: Optional[Layout]) -> Asked:
    settings = predictor.hyperparameters
    task = "ranking" if settings.is_contrastive else "labels"
    request = DataRequest(source, seen, layout=layout).of_task(task, settings)
    return asked_data(predictor.inputs, settings, request)


def _titled(data: Any) -> dict[str, Any]:
    """Data by their titles: those of a dict, the names of files, or "data"."""
    if isinstance(data, Mapping):
        return {str(title): source for title, source in data.items()}
    found: dict[str, Any] = {}
    for source in listed(data):
        title = Path(source).name if isinstance(source, (str, os.PathLike)) else "data"
        title = title or names([source])
        while title in found:
            title = f"{title} (another)"
        found[title] = source
    return found
