"""Parameter graphs on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch_geometric.data import OnDiskDataset, SQLiteDatabase
from typing_extensions import override

from weightspace.graph.convert import TAPS
from weightspace.graph.data import ParameterGraph
from weightspace.graph.datasets.folder import ROWS, open_rows, read_common, write_folder
from weightspace.graph.datasets.network import Network
from weightspace.graph.datasets.reading import Reader, Transform
from weightspace.graph.datasets.rows import SCHEMA, Row, graph_of, row_of


class OnDiskGraphDataset(OnDiskDataset):
    """Parameter graphs of networks of any architectures, read from disk when they are asked for.

    A row of the database holds the bare weights. A graph goes back to tensors with
    `to_tensors(dataset.layouts[graph.spec_hash], graph)`, and `graph.network` says which one it is.

    Args:
        root: The folder; made whole or not at all.
        networks: What to make it of: each is read once, and no code of its file is run. None: it is there.
        transform: Changes every graph on access.
        pre_transform: Changes every graph once, before it is written; its weights and targets only.
        taps: Entries on one edge; models need the same.

    Attributes:
        layouts: By hash of the spec.
        target_names: The metrics, in the order of `graph.y`.

    Raises:
        OutputError: Networks are given and the folder is there, or the disk refuses.
        DataError: No networks are given and the folder holds no dataset.
        WeightspaceError: A network cannot be read or is not what was said, or a target is no finite number; the message
            names the network.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        networks: Iterable[Network] | None = None,
        *,
        transform: Transform | None = None,
        pre_transform: Transform | None = None,
        taps: int = TAPS,
    ) -> None:
        folder = Path(root).expanduser()
        if networks is not None:
            write_folder(folder, Reader(pre_transform, taps), networks)
        self.layouts, self.target_names = read_common(folder)
        self._taps = taps
        self._connections: dict[int, SQLiteDatabase] = {}
        super().__init__(str(folder), transform, schema=SCHEMA)

    @property
    @override
    def processed_file_names(self) -> str:
        return ROWS

    @property
    @override
    def db(self) -> SQLiteDatabase:
        # A loader's worker is a fork of this process, and must not even close what it inherits.
        process = os.getpid()
        if process not in self._connections:
            self._connections[process] = open_rows(self.processed_paths[0])
        return self._connections[process]

    @override
    def close(self) -> None:
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    @override
    def serialize(self, data: Any) -> Row:
        return row_of(self.layouts, data)

    @override
    def deserialize(self, data: Row) -> ParameterGraph:
        return graph_of(self.layouts, data, self._taps)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        # What it overrides forgets which part of the dataset this is.
        return self.multi_get([self.indices()[index] for index in indices])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connections": {}}
