# SPDX-License-Identifier: Apache-2.0
"""The tasks by name, and who contends in each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

from benchmarks.quality import documents, genres, leave_one_out, ratings, sentences
from benchmarks.quality.exams import Contestant, Task


class Entry(NamedTuple):
    """How a task is loaded, and its contestants, ours first."""

    load: Callable[[Path, Optional[int]], Task]
    contestants: Callable[[], list[Contestant]]


TASKS = {
    "ratings": Entry(ratings.load, ratings.contestants),
    "leave_one_out": Entry(leave_one_out.load, leave_one_out.contestants),
    "documents": Entry(documents.load, documents.contestants),
    "genres": Entry(genres.load, genres.contestants),
    "snli": Entry(sentences.load_snli, sentences.contestants_of_snli),
    "sts": Entry(sentences.load_sts, sentences.contestants_of_sts),
}
