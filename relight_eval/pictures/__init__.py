"""A second look at the images of a few pairs: what a page embeds of them, and maps of where their errors are.

A map shows how far a metric is, at every place, from the value that it has for identical images: more is worse, and 0
is where both images agree. (For metrics that are 1 for identical images that is 1 − value.) All maps of one name have
one scale, over all images and all runs: the same grey is the same error everywhere. Places without a value, as SSIM
has none near the border, or a masked pair outside of its mask, count for no scale and are shown as 0.

The scale is known only when all maps are. So those of a gallery wait in memory, small and as float16, MAPS_BYTES at
most; those of `write_maps`, which are large, are computed twice.
"""

from relight_eval.pictures.files import write_maps
from relight_eval.pictures.shelf import gallery
from relight_eval.reports.console import order

__all__ = ["gallery", "order", "write_maps"]
