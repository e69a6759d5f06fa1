"""The bytes of an image file -> its planes, or the reason why it cannot be scored. Nothing here knows torch.

What is read is what the file says, at its depth: orientation applied, opaque alpha dropped, nothing rounded.
"""

from relight_eval.decoding.planes import Planes
from relight_eval.decoding.reading import AS_STORED, Alpha, Reading, Readings, Space

__all__ = ["AS_STORED", "Alpha", "Planes", "Reading", "Readings", "Space"]
