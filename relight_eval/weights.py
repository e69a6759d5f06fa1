"""VGG19 weights: find, fetch, verify, import, export.

The perceptual distance uses the first five convolutions of torchvision's VGG19: 555,328 of its 144 million
numbers. Whatever file they come from, they are reduced to those, and kept as 2.2 MB of safetensors that can
be committed to a repository or carried to a machine without a network.

Scores depend on every one of these numbers, so nothing is taken on trust: a download is compared with the
published SHA-256, the small file with the hash that it carries, and a file that somebody named is used or
refused, never passed over. No code from a file is ever run. `torch` is imported only to read a .pth.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zipfile import is_zipfile

import numpy as np
import numpy.typing as npt
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from relight_eval.downloads import Download, Progress, download
from relight_eval.errors import NoWeightsError, WeightsError
from relight_eval.files import write_whole

Array = npt.NDArray[np.float32]
Announce = Callable[[str], None]
State = Literal["used", "found", "missing", "broken", "not set"]

FORMAT = "relight-eval vgg19 1"  # of the small file; raised when a reader of the old one would be misled
VARIABLE = "RELIGHT_EVAL_VGG19"
OFFLINE = "RELIGHT_EVAL_OFFLINE"
HUB = "torch hub cache"
MEND = (
    "Run `relight-eval weights fetch` where there is a network, or `relight-eval weights import FILE`, "
    "or pass `--vgg19-weights FILE`."
)


class Layer(NamedTuple):
    """A convolution: its name in the literature, its key in torchvision, and the shape of its weight."""

    name: str
    key: str
    shape: tuple[int, int, int, int]


LAYERS = (
    Layer("conv1_1", "features.0", (64, 3, 3, 3)),
    Layer("conv1_2", "features.2", (64, 64, 3, 3)),
    Layer("conv2_1", "features.5", (128, 64, 3, 3)),
    Layer("conv2_2", "features.7", (128, 128, 3, 3)),
    Layer("conv3_1", "features.10", (256, 128, 3, 3)),
)
SHAPES: Mapping[str, tuple[int, ...]] = {
    f"{layer.name}.{part}": shape
    for layer in LAYERS
    for part, shape in (("weight", layer.shape), ("bias", layer.shape[:1]))
}

# Where the 16 convolutions of VGG19 stand in `features`. VGG16 and VGG13 begin with the same shapes.
CONVOLUTIONS = frozenset({0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34})


# VGG19_Weights.IMAGENET1K_V1. PyTorch publishes the first eight digits of the SHA-256, in the file's name;
# the rest is what independent projects wrote down for their copies of it (they all agree).
TORCHVISION = Download(
    url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    filename="vgg19-dcbb9e9d.pth",
    sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
    size_bytes=574_673_361,
)


@dataclass(frozen=True, eq=False)  # equality of arrays is not one bool; compare `sha256`
class VGG19Weights:
    """The ten tensors, and how far they can be trusted.

    `tensors` maps `conv1_1.weight` … `conv3_1.bias` (SHAPES) to float32 arrays. `origin` is the path or the
    address they came from. `sha256` (64 hex digits) is that of the tensors themselves, so it is the same
    for a checkpoint and for the small file made of it. `official` says that they were reduced from a file
    whose SHA-256 (`source_sha256`, empty when unknown) is torchvision's. A small file carries this as a note,
    which guards against mistakes, not against forgery: there, compare `sha256`.
    """

    tensors: Mapping[str, Array]
    origin: str
    sha256: str
    official: bool
    source_sha256: str = ""


@dataclass(frozen=True)
class Place:
    """A file to look for. `named`: a person chose this very file, so that it is used or refused."""

    name: str
    path: Path
    named: bool
    mend: str  # what to do when the file is no good


@dataclass(frozen=True)
class Look:
    """What `status` saw at one place. A `found` file comes after the one that decides, and was not read."""

    name: str
    path: Path | None
    state: State


@dataclass(frozen=True)
class Status:
    """Where `find` looks without a network, what it would use, and what to do when that is nothing."""

    looks: tuple[Look, ...]
    weights: VGG19Weights | None
    advice: str

    @property
    def ready(self) -> bool:
        return self.weights is not None


# --- finding -----------------------------------------------------------------------------------------------


def find(
    path: Path | None = None,
    *,
    offline: bool = False,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> VGG19Weights:
    """The weights from the first place that has them; fetched, unless `offline`, when none has.

    In order: `path`, the file named by RELIGHT_EVAL_VGG19, the tool's own cache, torch's hub cache (which is
    reduced into the own cache). The first that is named or there decides: a broken one is an error. The variable
    RELIGHT_EVAL_OFFLINE=1 is as good as `offline`. `announce` is told of what takes long (default: standard error).

    Raises WeightsError, which names every place and the commands that mend it.
    """
    places = _places(path)
    chosen = _first(places)
    if chosen is not None:
        weights = _load_from(chosen)
        if chosen.name == HUB:
            _keep(weights, announce)
        return weights
    if offline or os.environ.get(OFFLINE, "0").lower() not in ("", "0", "false", "no", "off"):
        raise NoWeightsError(_not_to_be_had(places, "fetching is ruled out (offline)"))
    try:
        weights = _fetched(TORCHVISION, progress, announce)
    except WeightsError as error:
        raise NoWeightsError(_not_to_be_had(places, str(error).rstrip("."))) from error
    _keep(weights, announce)
    return weights


def loaded(weights: VGG19Weights | str | Path | None, *, offline: bool = False) -> VGG19Weights:
    """These weights, those of this file, or for None what `find` finds. Raises WeightsError."""
    if isinstance(weights, VGG19Weights):
        return weights
    return find(Path(weights) if weights is not None else None, offline=offline)


def status(path: Path | None = None) -> Status:
    """What `find(path, offline=True)` would do, without doing it: nothing is written or fetched."""
    places = _places(path)
    chosen = _first(places)
    weights, advice = None, MEND
    if chosen is not None:
        try:
            weights, advice = _load_from(chosen), ""
        except WeightsError as error:
            advice = str(error)
    looks = [Look(place.name, place.path, _state(place, chosen, weights)) for place in places]
    if not os.environ.get(VARIABLE):
        looks.insert(len(looks) - 2, Look(VARIABLE, None, "not set"))  # its turn is before the two caches
    return Status(tuple(looks), weights, advice)


def cache_folder() -> Path:
    """The tool's own cache: RELIGHT_EVAL_CACHE, or the platform's folder for caches."""
    default = platformdirs.user_cache_dir("relight-eval", appauthor=False)
    return _folder(os.environ.get("RELIGHT_EVAL_CACHE") or default)


def cache_file() -> Path:
    """Where the small file is kept."""
    return cache_folder() / "vgg19.safetensors"


def hub_file() -> Path:
    """Where torch.hub, and so torchvision, keeps the whole checkpoint."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = _folder(os.environ.get("TORCH_HOME") or os.path.join(caches, "torch"))
    return home / "hub" / "checkpoints" / TORCHVISION.filename


def _folder(text: str) -> Path:
    return Path(os.path.expanduser(text))  # unlike Path.expanduser, does not raise where there is no home


def _places(path: Path | None) -> tuple[Place, ...]:
    """The files to look for, in order."""
    places = []
    if path is not None:
        places.append(Place("--vgg19-weights", path, True, "Name another file with --vgg19-weights FILE."))
    if variable := os.environ.get(VARIABLE):
        mend = f"{VARIABLE} names this file: correct it, or unset it."
        places.append(Place(VARIABLE, _folder(variable), True, mend))
    mend = "Delete it, or run `relight-eval weights fetch --force`."
    places.append(Place("own cache", cache_file(), False, mend))
    mend = "It was left there: delete it, run `relight-eval weights fetch`, or pass --vgg19-weights FILE."
    places.append(Place(HUB, hub_file(), False, mend))
    return tuple(places)


def _first(places: Iterable[Place]) -> Place | None:
    """The place that decides: the first that a person named, or that has a file."""
    return next((place for place in places if place.named or os.path.exists(place.path)), None)


def _load_from(place: Place) -> VGG19Weights:
    try:
        return load(place.path)
    except WeightsError as error:
        raise WeightsError(f"{error} {place.mend}") from error


def _state(place: Place, chosen: Place | None, weights: VGG19Weights | None) -> State:
    if place is chosen:
        return "used" if weights else "broken"
    return "found" if os.path.exists(place.path) else "missing"


def _keep(weights: VGG19Weights, announce: Announce | None) -> None:
    """Store in the own cache, so that the next run need not read 548 MiB; no harm done if that fails."""
    try:
        said = f"kept 2.2 MB of {weights.origin} in {store(weights)}"
    except WeightsError as error:
        said = f"the VGG19 weights could not be kept for the next run: {error}"
    (announce or _say)(said)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _not_to_be_had(places: Iterable[Place], why: str) -> str:
    """The message when no place has a file, which also means that neither a person nor VARIABLE named one."""
    looked = "; ".join(f"no file in the {place.name} ({place.path})" for place in places)
    return f"no VGG19 weights: {VARIABLE} is not set; {looked}; {why}. {MEND}"


# --- reading -----------------------------------------------------------------------------------------------


def load(path: Path) -> VGG19Weights:
    """The weights in a file: a torchvision checkpoint, a state dict of `features`, or the small file.

    A checkpoint may be wrapped in "state_dict" and carry "module." in its keys; half and double precision
    become float32. A name that ends in a hash, as in `vgg19-dcbb9e9d.pth`, must be true. Anything but
    torchvision's own file (or the small file made of it) is accepted, and not `official`.

    Raises WeightsError for a file that cannot be read, is damaged, is not VGG19's, or fails its hash.
    """
    if _starts_like_safetensors(path):
        return _load_safetensors(path)
    sha256 = _file_sha256(path)
    _check_name(path, sha256)
    return _reduced(_read_checkpoint(path), str(path), sha256)


def _starts_like_safetensors(path: Path) -> bool:
    """Judged by content: eight bytes of length, then the JSON header. Also says why a file has no content."""
    if os.path.isdir(path):  # unlike Path.is_dir, does not raise under a folder that is closed to us
        raise WeightsError(f"{path}: a folder. Expected a file, such as {path / TORCHVISION.filename}.")
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: no such file. Expected {TORCHVISION.filename}, or a file that "
            "`relight-eval weights export` wrote."
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error


def _load_safetensors(path: Path) -> VGG19Weights:
    arrays, notes = _read_safetensors(path)
    if notes.get("format") != FORMAT:  # somebody else's safetensors file
        return _reduced(arrays, str(path), _file_sha256(path))
    weights = _reduced(arrays, str(path), notes.get("source_sha256", ""))
    expected = notes.get("sha256", "")
    if weights.sha256 != expected:
        raise WeightsError(
            f"{path}: the tensors have SHA-256 {weights.sha256[:8]}…, not {expected[:8]}… as the file says; "
            "it was changed or damaged after it was written. Copy or export it again."
        )
    return weights


def _read_safetensors(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Every tensor of the file, and the notes that `_write` left in it (empty when it was not `_write`)."""
    try:
        with safe_open(path, framework="np") as file:
            arrays = {key: file.get_tensor(key) for key in sorted(file.keys())}
            notes = json.loads((file.metadata() or {}).get("relight-eval", "{}"))
    except (SafetensorError, OSError, TypeError, ValueError) as error:  # TypeError: bfloat16, not in numpy
        raise WeightsError(
            f"{path}: not a readable safetensors file ({error}); it is cut short, damaged or of another "
            "kind. Copy or export it again."
        ) from error
    return arrays, {key: str(note) for key, note in notes.items()} if isinstance(notes, dict) else {}


def _read_checkpoint(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of a .pth file. `weights_only` keeps torch from running what a pickle asks for."""
    import torch  # a second or two, that readers of the small file do not pay

    try:
        # Only the zip format (torchvision's file is older) can be mapped; the classifier is then never read.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
        if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
            state = state["state_dict"]
        return {
            str(key): (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
            for key, value in state.items()
            if isinstance(value, torch.Tensor)
        }
    except MemoryError:
        raise
    except Exception as error:  # of a file that is not its own, torch raises almost anything
        raise WeightsError(
            f"{path}: not a PyTorch checkpoint of tensors only; it is cut short, damaged, of another kind, "
            f"or holds code, which is never run. Expected {TORCHVISION.filename} or a saved "
            "`model.features.state_dict()`; download or save it again."
        ) from error


def _file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error


def _check_name(path: Path, sha256: str) -> None:
    """Hold a file to the hash in its name, torch hub's custom: `name-<first digits>.pth`."""
    named = re.search(r"-([0-9a-f]{8,64})\.pth$", path.name)
    if named and not sha256.startswith(named[1]):
        raise WeightsError(
            f"{path}: SHA-256 {sha256[:8]}… is not the expected {named[1]}…, which its name promises; it is "
            "cut short or damaged. Download it again, or rename it if these digits are no hash."
        )


# --- reducing ----------------------------------------------------------------------------------------------


def tensors_sha256(tensors: Mapping[str, Array]) -> str:
    """SHA-256 over the ten tensors in the order of SHAPES: its name, then its little-endian float32s."""
    digest = hashlib.sha256()
    for name in SHAPES:
        digest.update(name.encode())
        digest.update(tensors[name].astype("<f4").tobytes())
    return digest.hexdigest()


def _reduced(arrays: Mapping[str, npt.NDArray[Any]], origin: str, source_sha256: str) -> VGG19Weights:
    """The ten tensors out of all that a file holds, checked."""
    found = _selected(arrays, origin)
    _check_shapes(found, origin)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, and is refused as such
        tensors = {name: np.array(array, dtype=np.float32, order="C") for name, (_, array) in found.items()}
    broken = [found[name][0] for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"{origin}: {', '.join(broken)} holds inf or NaN. Expected finite numbers; take another file."
        )
    official = source_sha256.startswith(TORCHVISION.sha256)
    return VGG19Weights(tensors, origin, tensors_sha256(tensors), official, source_sha256)


def _selected(arrays: Mapping[str, npt.NDArray[Any]], origin: str) -> dict[str, tuple[str, npt.NDArray[Any]]]:
    """By our name: the key in the file and its array, in whichever of three ways the file names its keys."""
    plain = {key.replace("module.", ""): array for key, array in arrays.items()}  # DataParallel's prefix
    _check_is_vgg19(plain, origin)
    ours = {name: name for name in SHAPES}
    whole = {f"{layer.name}.{part}": f"{layer.key}.{part}" for layer in LAYERS for part in ("weight", "bias")}
    features = {name: key.removeprefix("features.") for name, key in whole.items()}
    # The whole network comes first, so that it is the way spoken of when no key at all is known.
    keys = max((whole, features, ours), key=lambda keys: sum(key in plain for key in keys.values()))
    missing = [key for key in keys.values() if key not in plain]
    if missing:
        held = ", ".join(list(arrays)[:4]) or "no tensor"
        raise WeightsError(
            f"{origin}: no {', '.join(missing)}. Expected the first five convolutions of VGG19; the file "
            f"holds {held}{', …' if len(arrays) > 4 else ''}. Take {TORCHVISION.filename} or its features."
        )
    return {name: (key, plain[key]) for name, key in keys.items()}


def _check_is_vgg19(keys: Iterable[str], origin: str) -> None:
    """Refuse VGG16 and VGG13, whose first five convolutions have the very same names and shapes."""
    for key in keys:
        convolution = re.fullmatch(r"(?:features\.)?(\d+)\.weight", key)
        if convolution and int(convolution[1]) not in CONVOLUTIONS:
            raise WeightsError(
                f"{origin}: has {key}, where VGG19 has no convolution; it is another network (VGG16?). "
                f"Expected VGG19: take {TORCHVISION.filename}."
            )


def _check_shapes(found: Mapping[str, tuple[str, npt.NDArray[Any]]], origin: str) -> None:
    wrong = [
        f"{key} is {_shape(array.shape)} {array.dtype}, expected {_shape(SHAPES[name])} float"
        for name, (key, array) in found.items()
        if array.shape != SHAPES[name] or array.dtype.kind != "f"
    ]
    if wrong:
        raise WeightsError(f"{origin}: {'; '.join(wrong)}. Take {TORCHVISION.filename} or a file made of it.")


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


# --- keeping -----------------------------------------------------------------------------------------------


def import_file(path: Path) -> Path:
    """Load a file, store the small one in the own cache, and return where. Raises WeightsError."""
    return store(load(path))


def export(weights: VGG19Weights, path: Path) -> None:
    """Write the small file; the same weights give the same bytes. Raises WeightsError.

    The name must end in .safetensors, so that a slip of the hand never replaces a checkpoint.
    """
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: export writes safetensors. Expected a name that ends in .safetensors.")
    if not path.parent.is_dir():
        raise WeightsError(f"{path}: there is no folder {path.parent} to write to. Make it first.")
    _write(weights, path)


def store(weights: VGG19Weights) -> Path:
    """Write the small file to the own cache, and return where. Raises WeightsError."""
    _make_cache()
    path = cache_file()
    _write(weights, path)
    return path


def _write(weights: VGG19Weights, path: Path) -> None:
    notes = {
        "format": FORMAT,
        "source": TORCHVISION.url if weights.official else "not torchvision's checkpoint",
        "source_sha256": weights.source_sha256,
        "sha256": weights.sha256,
    }
    # One entry, because safetensors writes several in an order that changes from run to run.
    data = save(dict(weights.tensors), metadata={"relight-eval": json.dumps(notes)})
    try:
        write_whole(path, data)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written ({error.strerror}). Choose another place.") from error


def _make_cache() -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{folder}: the cache cannot be made ({error.strerror}). "
            "Set RELIGHT_EVAL_CACHE to a folder that can be written."
        ) from error
    return folder


# --- fetching ----------------------------------------------------------------------------------------------


def fetch(
    checkpoint: Download = TORCHVISION,
    *,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> VGG19Weights:
    """Download, verify, reduce, and store in the own cache; the download itself is not kept.

    `announce` is told the size before anything is asked of the network. Raises WeightsError, within seconds
    when there is no network; a failure leaves nothing behind.
    """
    weights = _fetched(checkpoint, progress, announce)
    store(weights)
    return weights


def _fetched(checkpoint: Download, progress: Progress | None, announce: Announce | None) -> VGG19Weights:
    folder = _make_cache()
    try:
        temporary = tempfile.TemporaryDirectory(prefix="fetch-", dir=folder)
    except OSError as error:
        raise WeightsError(
            f"{folder}: the cache cannot be written ({error.strerror}). Set RELIGHT_EVAL_CACHE to another folder."
        ) from error
    with temporary as name:
        size = f"{checkpoint.size_bytes / 2**20:.0f} MiB"
        (announce or _say)(f"fetching {size} from {checkpoint.url}, keeping 2.2 MB in {folder}")
        path = Path(name) / checkpoint.filename
        sha256 = download(checkpoint, path, progress)
        return _reduced(_read_checkpoint(path), checkpoint.url, sha256)
