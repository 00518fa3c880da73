"""Reading the datasets of HDF5 files, and features as SIDEKIT writes them."""

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from speechgmm.errors import CorpusError
from speechgmm.features.formats.common import (
    MAX_INFLATION,
    MAX_UNCHECKED_BYTES,
    check_kind,
    corpus_errors,
    file_size,
    import_h5py,
)

SIDEKIT_FEATURES = ("cep", "fb", "bnf")
"""Names of SIDEKIT's datasets of cepstra, filter banks and bottleneck features, each in a group of its recording."""

SIDEKIT_PACKING = {0: "", 1: "htk", 2: "percentile"}
"""How SIDEKIT packs features into integers, by the number in its files."""


def read_hdf5(path: Path, stream: BinaryIO) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Read every dataset of an HDF5 file; of SIDEKIT's, the features."""
    h5py = import_h5py()
    with h5py.File(stream, "r") as file:
        links: dict[str, Any] = {}
        file.visititems_links(links.__setitem__)
        names = {name for name, link in links.items() if isinstance(link, h5py.HardLink)}
        sidekit = _sidekit_features(file, names)
        packing = _sidekit_packing(path, file) if sidekit and "compression" in names else ""
        for name, link in links.items():
            where = f"{path}: {name}"
            if not isinstance(link, h5py.HardLink):
                raise CorpusError(f"{where}: a link to something else; expected datasets, in groups or not")
            with corpus_errors(where):
                item = file[name]
                if isinstance(item, h5py.Group) or _is_beside_features(name, item, sidekit, packing):
                    continue
                _check_dataset(item, where, file_size(stream))
                array = item[()]
                if name in sidekit:
                    array = _unpack_sidekit(file, name, array, packing, where, file_size(stream))
            yield name, array


def _sidekit_features(file: Any, names: Collection[str]) -> set[str]:
    """Find the features in a file of SIDEKIT, which has groups of features and of what was computed with them."""
    features = {name for name in names if "/" in name and name.rpartition("/")[2] in SIDEKIT_FEATURES}
    marks = {"compression"} | {f"{name.rpartition('/')[0]}/vad" for name in features}
    is_sidekit = any(len(getattr(file[mark], "shape", (0, 0))) < 2 for mark in marks if mark in names)
    return {name for name in features if hasattr(file[name], "shape")} if is_sidekit else set()


def _sidekit_packing(path: Path, file: Any) -> str:
    """Read how SIDEKIT has packed features into integers; empty if it has not."""
    item = file["compression"]
    code = int(item[()]) if item.size == 1 and item.dtype.kind in "iu" else None
    if code not in SIDEKIT_PACKING:
        raise CorpusError(f"{path}: compression {code}; expected 0, 1 (htk) or 2 (percentile), as SIDEKIT writes it")
    return SIDEKIT_PACKING[code]


def _is_beside_features(name: str, item: Any, sidekit: Collection[str], packing: str) -> bool:
    """Check whether a dataset in a file of SIDEKIT holds no features: energies, marks of speech, or how to unpack."""
    if not sidekit or name in sidekit:
        return False
    group, _, last = name.rpartition("/")
    in_group = any(feature.rpartition("/")[0] == group for feature in sidekit)
    is_packed = packing != "" and last.startswith((*SIDEKIT_FEATURES, "energy"))
    return name == "compression" or (in_group and (len(item.shape) < 2 or is_packed))


def _unpack_sidekit(
    file: Any, name: str, stored: npt.NDArray[Any], packing: str, where: str, size: int
) -> npt.NDArray[Any]:
    """Unpack features that SIDEKIT has packed into integers."""

    def values(suffix: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Read the numbers that say how to unpack."""
        if isinstance(file.get(name + suffix, getlink=True), import_h5py().SoftLink | import_h5py().ExternalLink):
            raise CorpusError(f"{where}{suffix}: a link to something else; expected numbers")
        item = file[name + suffix]
        if item.shape != shape or item.dtype.kind not in "fiu":
            raise CorpusError(f"{where}{suffix}: {item.dtype}, shape {item.shape}; expected numbers of shape {shape}")
        check_stored(item, where + suffix, size)
        return np.asarray(item[()], np.float64)

    match packing:
        case "htk":  # as in HTK's files, but with one scale and offset for all features
            scale, offset = values("_comp", (2,))
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # `as_frames` refuses such values
                unpacked: npt.NDArray[Any] = (stored.astype(np.float64) + offset) / scale
            return unpacked
        case "percentile":  # as in Kaldi's: linear between the minimum, the quartiles and the maximum of each feature
            low, width = values("_min_range", (2,))
            percentiles = low + width * values("_header", (stored.shape[1], 4)) / 65535
            columns = zip(stored.T, percentiles, strict=True)
            return np.stack([np.interp(column, (0, 64, 192, 255), four) for column, four in columns], axis=1)
    return stored


def _check_dataset(item: Any, where: str, size: int) -> None:
    """Refuse a dataset that is not a matrix, or is not wholly in its file."""
    check_kind(item.shape, item.dtype, where)
    check_stored(item, where, size)


def check_stored(item: Any, where: str, size: int) -> None:
    """Refuse a dataset that is not wholly in its file."""
    if item.external or item.is_virtual:
        raise CorpusError(f"{where}: its values are in other files; expected them in this one")
    filtered = item.id.get_create_plist().get_nfilters() > 0
    stored = min(item.id.get_storage_size(), size)
    n_bytes = max(item.size, math.prod(item.chunks or ())) * item.dtype.itemsize  # a chunk is unpacked as a whole
    if item.size and n_bytes > (max(MAX_UNCHECKED_BYTES, stored * MAX_INFLATION) if filtered else stored):
        raise CorpusError(f"{where}: {n_bytes} bytes announced, {stored} in the file")
