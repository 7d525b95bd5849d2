"""Find out what kind of data a path holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from weightspace.data.dataset import Dataset
from weightspace.data.examples import Examples, concatenated
from weightspace.data.idx import is_idx_images, is_idx_labels, read_idx_pair
from weightspace.data.images import class_folders, images_below, read_image_folder
from weightspace.data.npz import read_npz
from weightspace.data.split import Split
from weightspace.errors import DataError

_SPLIT_NAME = re.compile(r"(?:^|[^a-z])(train|test|t10k|val)(?:ing|id|idation)?(?:$|[^a-z])")
_EXPECTED = "a .npz with x and y, idx images (train-images-idx3-ubyte.gz), or a folder of those or of images by class"


def open_data(path: str | Path) -> Dataset:
    """Open labelled data.

    Args:
        path: One of

            * a `.npz` with `x` (`(N, H, W, C)` uint8 or `(N, ...)` float) and `y` (`(N,)` integers);
            * an idx file of images, its labels beside it;
            * a folder with one sub-folder of images per class, labels by sorted name;
            * a folder of `train*` and `test*` (or `t10k*`, `val*`) of any one of these. Several `.npz` of one split
              are its parts, in the order of their names.

    Returns:
        The data set. Its splits are read, and checked, when they are first used.

    Raises:
        DataError: No such path, or nothing in it that could be read as data.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: expected {_EXPECTED}, found no such file or folder; check the path")
    try:
        readers = _folder(path) if path.is_dir() else _file(path)
    except OSError as error:
        raise DataError(f"{path}: expected a readable folder, found {error.strerror}; check its permissions") from error
    return Dataset(path, {name: Split(name, path, read) for name, read in readers.items()})


def _file(path: Path) -> dict[str, Callable[[], Examples]]:
    if path.suffix == ".npz":
        return {_split_name(path): partial(read_npz, path)}
    if is_idx_labels(path):
        raise DataError(f"{path}: expected images, found a file of labels; give the images file or the folder of both")
    if is_idx_images(path):
        return {_split_name(path): partial(read_idx_pair, path)}
    raise DataError(f"{path}: expected {_EXPECTED}, found a {path.suffix or 'nameless'} file; convert it")


def _folder(folder: Path) -> dict[str, Callable[[], Examples]]:
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    archives = [file for file in files if file.suffix == ".npz"]
    idx = [file for file in files if is_idx_images(file)]
    images = [child for child in class_folders(folder) if images_below(child)]
    kinds = {".npz files": archives, "idx files": idx, "folders of images": images}
    present = [kind for kind, found in kinds.items() if found]
    if len(present) > 1:
        raise DataError(
            f"{folder}: expected one kind of data, found {' and '.join(present)}; give the path of one kind"
        )
    if archives:
        return _splits_of_files(folder, archives, read_npz)
    if idx:
        return _splits_of_files(folder, idx, read_idx_pair)
    if images:
        return _splits_of_images(folder, images)
    found = "images that no class folder holds" if images_below(folder) else "none of these"
    labels = [file for file in files if is_idx_labels(file)]
    if labels:
        found = f"labels without images ({labels[0].name})"
    raise DataError(f"{folder}: expected {_EXPECTED}, found {found}; check the path")


def _splits_of_files(
    folder: Path, files: list[Path], read: Callable[[Path], Examples]
) -> dict[str, Callable[[], Examples]]:
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(_split_name(file), []).append(file)
    unnamed = splits.get("data", [])
    if len(unnamed) > 1 or (unnamed and len(splits) > 1):
        raise DataError(
            f"{folder}: expected files named train* and test*, found {', '.join(file.name for file in unnamed)}; "
            "rename them or give one file"
        )
    return {name: partial(_read_parts, folder, parts, read) for name, parts in splits.items()}


def _read_parts(folder: Path, parts: list[Path], read: Callable[[Path], Examples]) -> Examples:
    return concatenated(folder, [read(part) for part in parts])


def _splits_of_images(folder: Path, children: list[Path]) -> dict[str, Callable[[], Examples]]:
    # A class may be called "train", too: a split is a folder of folders.
    nested = [child for child in children if _split_name(child) != "data" and class_folders(child)]
    if not nested:
        return {_split_name(folder): partial(read_image_folder, folder)}
    if len(nested) < len(children):
        other = next(child for child in children if child not in nested)
        raise DataError(
            f"{folder}: expected folders of splits only, found {other.name} beside {nested[0].name}; move it"
        )
    first = [child.name for child in class_folders(nested[0])]
    for split in nested[1:]:
        names = [child.name for child in class_folders(split)]
        if names != first:
            odd = sorted(set(names) ^ set(first))[0]
            raise DataError(
                f"{split}: expected the classes of {nested[0].name}, found {odd!r} in only one of them, so that labels "
                "would not agree; give both the same class folders"
            )
    return {_split_name(split): partial(read_image_folder, split) for split in nested}


def _split_name(path: Path) -> str:
    match = _SPLIT_NAME.search(path.name.lower())
    return {"t10k": "test"}.get(match[1], match[1]) if match else "data"
