"""Pictures of a published run."""

from tasks.figures.csmf import csmf_picture
from tasks.figures.draw import draw, save
from tasks.figures.inline_svg import inline
from tasks.figures.map import map_pictures
from tasks.figures.matrix import matrix_picture
from tasks.figures.records import records_picture
from tasks.figures.strata import strata_pictures
from tasks.figures.style import Picture
from tasks.figures.trends import trend_pictures

__all__ = [
    "Picture",
    "csmf_picture",
    "draw",
    "inline",
    "map_pictures",
    "matrix_picture",
    "records_picture",
    "save",
    "strata_pictures",
    "trend_pictures",
]
