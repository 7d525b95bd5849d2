"""The exceptions of weightspace.

Every failure that a user can cause or repair is one of these, and its message is one line: what was read (a tensor, a
file), what was expected, what was found, and what to do next. Anything else that escapes is a defect of this package.

```
WeightspaceError
├── CheckpointError
│   ├── CheckpointFormatError
│   ├── UnsafeCheckpointError
│   └── CheckpointMismatchError
├── OutputError
├── SourceError
├── DataError
├── SymmetryError
│   ├── TraceError
│   ├── SpecError
│   └── VerificationError
├── AlignmentError
└── MergeError
```
"""


class WeightspaceError(Exception):
    """Root of every exception that weightspace raises on purpose."""


class CheckpointError(WeightspaceError):
    """A checkpoint cannot be used."""


class CheckpointFormatError(CheckpointError):
    """A file cannot be read as weights: truncated, corrupt, a pointer, quantised, empty or of a foreign format."""


class UnsafeCheckpointError(CheckpointError):
    """A pickle that would have to run code to be opened; weightspace never does."""


class CheckpointMismatchError(CheckpointError):
    """The tensors are not those expected: missing, extra, of another shape, not finite, of another architecture."""


class OutputError(WeightspaceError):
    """A result cannot be written: it would overwrite an input, or the folder or the disk refuses it."""


class SourceError(WeightspaceError):
    """A model cannot be found or built, or its own code fails."""


class DataError(WeightspaceError):
    """Data cannot be read, or do not have the shape that the model takes."""


class SymmetryError(WeightspaceError):
    """The symmetries of a model cannot be derived, applied or confirmed."""


class TraceError(SymmetryError):
    """A model cannot be traced, for example because its control flow depends on its data."""


class SpecError(SymmetryError):
    """A symmetry specification or a group element does not fit what it is used on."""


class VerificationError(SymmetryError):
    """A claimed symmetry changed the function of the network."""


class AlignmentError(WeightspaceError):
    """An alignment cannot be computed, or does not fit the weights that it is applied to."""


class MergeError(WeightspaceError):
    """A merge method, one of its options or a recipe is wrong, or does not fit the networks."""
