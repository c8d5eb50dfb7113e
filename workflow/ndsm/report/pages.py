"""HTML pages that open by themselves: figures with their captions, tables, the claims.

Everything is inside the page: no link leaves it, so that Snakemake can put it into its report.
"""

import base64
import html
from pathlib import Path

import pandas as pd
from docutils.core import publish_parts

from ndsm.report.claim_documents import COLOURS

LOOK = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 1.5rem auto; padding: 0 1rem;
       max-width: 72rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
img { max-width: 100%; height: auto; } figure { margin: 0; }
figcaption { max-width: 50rem; color: #444; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid #ddd; max-width: 22rem; }
th { position: sticky; top: 0; background: white; border-bottom: 2px solid #888; }
tbody tr:nth-child(even) { background: #f6f6f6; }
"""
LOOK += "\n".join(f".{verdict} {{ color: {ink}; }}" for verdict, ink in COLOURS.items())


def page(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: plain text, above the page and in the browser's tab.
        body: HTML.
    """
    name = html.escape(title)
    head = f'<meta charset="utf-8"><title>{name}</title><style>{LOOK}</style>'
    size = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    whole = f"<head>{head}{size}</head>\n<body>\n<h1>{name}</h1>\n{body}\n</body>"
    return f"<!doctype html>\n<html lang='en'>{whole}</html>\n"


def image(path: Path, words: str) -> str:
    """A PNG or GIF file as HTML; ``words`` say what it shows to who cannot see it."""
    data = base64.encodebytes(path.read_bytes()).decode()  # in lines: docutils refuses long ones
    return f'<img alt="{html.escape(words)}" src="data:image/{path.suffix[1:]};base64,{data}">'


def paragraphs(text: str) -> str:
    """ReStructuredText, as of a caption, as HTML."""
    return publish_parts(text, writer="html5")["body"]


def figure(path: Path, title: str, caption: str) -> str:
    """A page with a figure and its caption below.

    Args:
        path: the PNG or GIF file.
        title: of the page.
        caption: reStructuredText.
    """
    below = f"<figcaption>{paragraphs(caption)}</figcaption>"
    return page(title, f"<figure>{image(path, title)}{below}</figure>")


def table(frame: pd.DataFrame) -> str:
    """A table as HTML, numbers to four digits, empty where there is none; verdicts in colour."""
    marks = {name: frame[name].map({True: "yes", False: ""}) for name in frame.select_dtypes(bool)}
    frame = frame.assign(**marks)
    cells = frame.to_html(index=False, na_rep="", border=0, float_format="{:.4g}".format)
    for verdict in COLOURS:
        cells = cells.replace(f"<td>{verdict}</td>", f'<td class="{verdict}">{verdict}</td>')
    return f'<div class="wide">{cells}</div>'
