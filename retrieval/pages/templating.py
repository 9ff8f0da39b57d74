"""Templates of the HTML pages: one Jinja environment and one page head (templates/page.html) for all packages."""

from __future__ import annotations

import math
from functools import cache

import jinja2

PAGES = "firstsight.retrieval.pages"


def page_template(package: str, name: str) -> jinja2.Template:
    """Load a page template.

    It extends "page.html" of this package, which has the head: character set, content security policy, style sheet. It
    may include "plots.css". Values are escaped, and an undefined name is an error.

    Args:
        package: dotted name of the package whose folder `templates` has the template.
        name: file name of the template.

    Raises:
        jinja2.TemplateNotFound: the package has no such template.
    """
    return _environment(package).get_template(name)


@cache
def _environment(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(PAGES)]),
        # titles, columns and queries come from users
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["figure"] = _figure
    return environment


def _figure(value: float) -> str:
    """Format a figure with three decimals; NaN becomes an empty string."""
    return "" if math.isnan(value) else f"{value:.3f}"
