"""The two families of compact models behind one interface: rows in, candidates for serving out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from adapters.onnx_session import OnnxModel
from contracts.schema import Floats, Matrix
from training.encoding import Columns
from training.export import eta_graph, stamp
from training.net_student import FLOAT32, NetStudent, fit_net_student
from training.parity import Native
from training.settings import NetSettings, TreeSettings
from training.student import Lessons, Student, fit_student
from training.tree_ensemble import tree_node
from training.trees import Examples, Tick

TREE = "tree"
NET = "net"


@dataclass(frozen=True)
class Candidate:
    """A model that might serve.

    `native` gives seconds (eta, low, high) as the library that trained it does. An `exact` export differs from that by
    the rounding of float32 alone. `holdout_mae_s` comes from a model of the same make and from learned-from rows that
    it had not seen: choosing by it leaves the test rows untouched.
    """

    name: str
    family: str
    exact: bool
    graph: bytes
    served: OnnxModel
    native: Native
    holdout_mae_s: float


class Family(Protocol):
    """A way to make compact models; fits on all of the examples, which are in the order of time."""

    def fit(
        self, examples: Examples, *, holdout: int, seed: int, tick: Tick, lessons: Lessons | None = None
    ) -> list[Candidate]:
        """Candidates in the order of their precision; the last `holdout` examples calibrate and judge.

        Where there are lessons, they are what is learned, and the examples only judge.
        """
        ...


@dataclass
class Trees:
    """A small LightGBM ensemble; what was fitted last stays at hand."""

    settings: TreeSettings
    offset: int | None
    schema_hash: str
    student: Student | None = None

    def fit(
        self, examples: Examples, *, holdout: int, seed: int, tick: Tick, lessons: Lessons | None = None
    ) -> list[Candidate]:
        """One candidate."""
        student = fit_student(
            examples, self.settings, offset=self.offset, holdout=holdout, seed=seed, lessons=lessons, tick=tick
        )
        self.student = student
        graph = stamp(eta_graph(tree_node(student.booster), examples.matrix.shape[1], student.head), self.schema_hash)

        def native(matrix: Matrix) -> tuple[Floats, Floats, Floats]:
            eta_s = student.predict(matrix)
            return eta_s, *student.interval(eta_s)

        return [Candidate(TREE, TREE, True, graph, OnnxModel(graph), native, student.holdout_mae_s)]


@dataclass
class Nets:
    """A small net, in float32 and quantized; what was fitted last stays at hand."""

    settings: NetSettings
    columns: Columns
    points: tuple[Floats, Floats] | None
    schema_hash: str
    student: NetStudent | None = None

    def fit(
        self, examples: Examples, *, holdout: int, seed: int, tick: Tick, lessons: Lessons | None = None
    ) -> list[Candidate]:
        """A candidate for each precision; all are held against the net in float32 as numpy computes it."""
        student = fit_net_student(
            examples,
            self.settings,
            columns=self.columns,
            points=self.points,
            holdout=holdout,
            seed=seed,
            lessons=lessons,
            tick=tick,
        )
        self.student = student

        def native(matrix: Matrix) -> tuple[Floats, Floats, Floats]:
            return student.head.seconds(student.net.raw(matrix), matrix)

        return [
            Candidate(
                name=NET if precision == FLOAT32 else f"{NET}_{precision}",
                family=NET,
                exact=precision == FLOAT32,
                graph=graph,
                served=OnnxModel(graph),
                native=native,
                holdout_mae_s=student.holdout_mae_s[precision],
            )
            for precision, graph in ((name, stamp(one, self.schema_hash)) for name, one in student.graphs.items())
        ]
