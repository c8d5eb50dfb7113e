"""The page of answers about one's own table: as Markdown, and as HTML for the report."""

import html
import re
from collections.abc import Sequence
from pathlib import Path

from ndsm.artefacts.answered_study import AnsweredStudy
from ndsm.report import own_answers, pages
from ndsm.report.markdown_table import markdown_table
from ndsm.report.own_numbers import HARM, Study
from ndsm.report.pairs_figure import MOST
from ndsm.report.row_gaps import LEAST

READING = [
    "A *model* gives every row a probability density. −log p is its mean over held-out rows, which "
    "no model was trained on, in *nats*: less is better, and one nat less means that a typical row "
    "is 2.7 times as probable. It has no zero, so that differences count and ratios do not; its "
    "floor is not known, for nobody knows the law of the data.",
    "The *energy distance* compares samples of a model with held-out rows. Its *floor* is that "
    "of real rows against real rows: it may be below zero, and samples near it cannot be told from "
    "real data by this distance. The *null* of a method is its own model before the network is "
    "trained: the trained method's gain over it is what the network has learned.",
    "An interval has a confidence of {confidence}. It is the wider one of two, over seeds, and "
    "over seeds and held-out rows together.",
    "A difference is called one if four things hold. Its p-value (a paired t test over seeds, "
    "corrected for the questions asked together) is below {level:g}. Its interval is on one side "
    "of zero. It is {least:g} nats or more. The better of the two methods is better than *one "
    "Gaussian* with the rows' mean and covariance (plain or shrunk). Without the last the first "
    "method of a question is still called worse, from {harm:g} nats a column on, but not better. "
    "*No difference was found* does not say that there is none.",
    "`claims.md` asks the seeds alone, so that it may call a difference what this page does not.",
    "Every network had the same fixed budget, and settings that were tuned on other data. Another "
    "budget or tuning may change who is best.",
]
# By the file of a picture what it shows, for who cannot see it, and its caption.
PICTURES = {
    "images": (
        "Held-out images and samples",
        "Held-out images, the same as {there} principal components show them, and samples of "
        "{drawn} led back from these to pixels, {n} training images. They are the first of each, "
        "and not chosen. All have one scale of grey, that of the first line.",
    ),
    "pairs": (
        "Columns of data and samples",
        "Held-out rows and samples of {drawn}, {n} training rows, in the data's units. {shown} of "
        "{there} columns, those that the first principal axes explain best.",
    ),
}


def _parts(spec: AnsweredStudy) -> list[tuple[str, list[str]]]:
    """The sections after the answers: a title, paragraphs or items."""
    level = spec.verdict.level
    words = {
        "confidence": f"{100 * (1 - level):g} %",
        "level": level,
        "least": LEAST,
        "harm": HARM,
    }
    return [
        ("How to read it", [text.format(**words) for text in READING]),
        ("What was chosen, and why", spec.choices),
    ]


def drawn(study: Study) -> list[str]:
    """The methods whose samples the page shows: the best one, and plain score matching."""
    shown = dict.fromkeys([own_answers.ranked(study)[0], own_answers.PLAIN])
    return [name for name in shown if name in study.methods]


def _captioned(study: Study, spec: AnsweredStudy, picture: Path) -> tuple[str, str]:
    """What a picture shows, and its caption."""
    (words, caption), there = PICTURES[picture.stem], len(spec.columns)
    names = " and of ".join(f"`{name}`" for name in drawn(study))
    return words, caption.format(drawn=names, n=study.most, shown=min(there, MOST), there=there)


def title(spec: AnsweredStudy) -> str:
    """The title of the page."""
    return f"What structure does for {Path(spec.dataset['path']).name}"


def markdown(study: Study, spec: AnsweredStudy, pictures: Sequence[Path]) -> str:
    """verdict.md; arguments as of ``page``."""
    lines = [f"# {title(spec)}", "", own_answers.headline(study), ""]
    for question, answer in own_answers.answers(study):
        lines += [f"## {question}", "", answer, ""]
    frame = own_answers.table(study)
    numbers = markdown_table([*frame.columns], frame.to_numpy().tolist())
    lines += ["## The numbers", "", *numbers, ""]
    lines += ["## Data and samples", ""]
    for picture in pictures:
        words, caption = _captioned(study, spec, picture)
        lines += [f"![{words}](figures/{picture.name})", "", caption, ""]
    for name, texts in _parts(spec):
        lines += [f"## {name}", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(lines)


def page(study: Study, spec: AnsweredStudy, pictures: Sequence[Path]) -> str:
    """The same as HTML.

    Args:
        study: what the answers are made of.
        spec: of the job.
        pictures: PNG files, by the names in ``PICTURES``.
    """
    body = [f"<p>{_html(own_answers.headline(study))}</p>"]
    for question, answer in own_answers.answers(study):
        body += [f"<h2>{_html(question)}</h2>", f"<p>{_html(answer)}</p>"]
    body += ["<h2>The numbers</h2>", pages.table(own_answers.table(study))]
    body += ["<h2>Data and samples</h2>"]
    for picture in pictures:
        words, caption = _captioned(study, spec, picture)
        below = f"<figcaption>{_html(caption)}</figcaption>"
        body += [f"<figure>{pages.image(picture, words)}{below}</figure>"]
    for name, texts in _parts(spec):
        items = "".join(f"<li>{_html(text)}</li>" for text in texts)
        body += [f"<h2>{name}</h2>", f"<ul>{items}</ul>"]
    return pages.page(title(spec), "\n".join(body))


def _html(text: str) -> str:
    """A sentence with the marks of Markdown as HTML."""
    text = html.escape(text)
    for mark, tag in ((r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em"), (r"`(.+?)`", "code")):
        text = re.sub(mark, rf"<{tag}>\1</{tag}>", text)
    return text
