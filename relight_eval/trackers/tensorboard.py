"""`--log tensorboard:DIR`: event files, to which every call adds one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from relight_eval.errors import ReportError, UsageError
from relight_eval.trackers.entry import Entry
from relight_eval.trackers.hushed import hushed

NEEDS = "needs TensorBoard: pip install 'relight-eval[tensorboard]'"


class TensorBoard:
    """A folder of logs. Entries without a step stand at step 0."""

    def __init__(self, word: str, target: str) -> None:
        if not target:
            raise UsageError(f"--log {word}: name the folder of the logs, as in tensorboard:runs/exp1")
        self.word, self.target = word, target

    def require(self) -> None:
        with hushed(UsageError, f"--log {self.word}"):
            try:
                import tensorboard  # noqa: F401
            except ImportError as error:
                raise UsageError(f"--log {self.word} {NEEDS}") from error
            if "://" not in self.target:  # of an address TensorBoard knows more than we
                _require_folder(Path(self.target), self.word)

    def log(self, entries: Sequence[Entry]) -> None:
        with hushed(ReportError, f"--log {self.word}"):
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            writer = EventFileWriter(self.target)
            try:
                for entry in entries:
                    values = Summary(value=_values(entry))
                    writer.add_event(Event(wall_time=time.time(), step=entry.step or 0, summary=values))
                writer.flush()  # (raises what the writer's thread could not write; `close` does not)
            finally:
                writer.close()


def _require_folder(folder: Path, word: str) -> None:
    """Raises UsageError where no folder is or can be made."""
    there = next((place for place in (folder, *folder.absolute().parents) if os.path.exists(place)), folder)
    if not os.path.isdir(there):
        raise UsageError(f"--log {word}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise UsageError(f"--log {word}: cannot write to {there}: permission denied")


def _values(entry: Entry) -> Iterator[Any]:
    """Everything of an entry, as TensorBoard's messages."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    for name, value in entry.scalars.items():
        yield Summary.Value(tag=name, simple_value=value)
    yield _text("relight-eval/report", entry.report)
    yield _text("relight-eval/protocol", entry.protocol_table)
    for shot in entry.shots:
        image = Summary.Image(width=shot.width, height=shot.height, colorspace=3, encoded_image_string=shot.file)
        yield Summary.Value(tag=f"worst/{shot.name}", image=image)


def _text(tag: str, markdown: str) -> Any:
    """A message for the plugin that shows texts."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[markdown.encode()], tensor_shape=shape)
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
