"""Event files for TensorBoard, a copy of the rows of `metrics.jsonl`."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgen.files import reason


class Events:
    """One event file, written in the caller's thread.

    tensorboardX writes in a thread of its own, which dies unseen when the disk is full. Here that
    is said, once, and the run goes on without TensorBoard: its numbers are rows, too.
    """

    def __init__(self, directory: pathlib.Path, resumed_at: int, say: Callable[[str], None]):
        """Opens it.

        Args:
            directory: of the event files.
            resumed_at: train steps done; events of later steps are to be forgotten.
            say: where messages go.
        """
        self._directory, self._say, self._writer = directory, say, None
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2

            events: Any = event_pb2
            self._event = events.Event
            directory.mkdir(parents=True, exist_ok=True)
            # two writers of one second would share a file: the suffix tells them apart
            self._writer = EventsWriter(os.path.join(directory, "events"), f".{resumed_at:08}")
        except OSError as error:
            self._stop(error)
            return
        self._write(resumed_at + 1, session_log=events.SessionLog(status=events.SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        from tensorboardX.summary import scalar

        for tag, value in values.items():
            self._write(step, summary=scalar(tag, float(value)))

    def picture(self, step: int, image: np.ndarray) -> None:
        """A picture [H, W, 3] uint8."""
        from tensorboardX.summary import image as drawn

        self._write(step, summary=drawn("samples", image, dataformats="HWC"))

    def close(self) -> None:
        """Closes it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except OSError as error:
                self._stop(error)

    def _write(self, step: int, **content: Any) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))
            self._writer.flush()
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError, ValueError):
                writer.close()
        self._say(
            f"going on without TensorBoard: could not write to {self._directory}: "
            f"{reason(self._directory, error)}"
        )
