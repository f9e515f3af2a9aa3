"""The page: figures poured into one self-contained HTML file, without scripts."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsys.dataset import Dataset
from training.evaluate import Evaluation
from training.page import figures

TEMPLATE = "page.html"


def write(
    evaluation: Evaluation,
    dataset: Dataset,
    file: Path,
    *,
    progress: Callable[[str], None] = lambda step: None,
) -> None:
    """Write the page of an evaluation."""
    found, report = evaluation.found, evaluation.report
    k = report["k"]
    progress("resampling members")
    rows = figures.rows(found, k=k)
    drawn = figures.sample(found)
    progress("measuring what each feature earns")
    earnings = figures.earnings(found, drawn, k=k)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template(TEMPLATE).render(
        report=report,
        rows=rows,
        best=max((row.recall.high for of_task in rows.values() for row in of_task), default=1.0),
        categories=figures.categories(found, dataset, k=k),
        shown=list(figures.shown(found)),
        calibration=figures.calibration(drawn),
        earnings=earnings,
        sampled=len(drawn.chosen),
        examples=figures.examples(found, dataset, drawn),
    )
    file.write_text(text, encoding="utf-8")
