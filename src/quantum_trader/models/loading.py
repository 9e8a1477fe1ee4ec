"""Where models come from: a built-in name, or a class in a user's file."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib.abc
import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from quantum_trader.domain.errors import ConfigError, DataError, InputError
from quantum_trader.models.forecast import ForecastSettings
from quantum_trader.models.forecasts import Forecasts, LoadedModel, check_statements
from quantum_trader.models.learned.artefact import is_learned_folder
from quantum_trader.models.learned.learned_model import LearnedModel
from quantum_trader.models.outside_scores import OUTSIDE_SCORES, OutsideScores
from quantum_trader.models.port import Exit, FrameModel, Model
from quantum_trader.models.score_file import SCORE_FILES, ScoreFile
from quantum_trader.models.trend import NOT_ENABLED, TREND_MODELS

INTRADAY: Final = "intraday-demo"  # the compiled ensemble of six intraday models; it stands outside the port's classes
TREND: Final = "trend"  # the set of slow models; each also stands alone, by its own name
BUILT_IN: Final[Mapping[str, type[Model]]] = {
    "ScoreFile": ScoreFile, OUTSIDE_SCORES: OutsideScores, "LearnedModel": LearnedModel, **TREND_MODELS,
}
BUILT_IN_PRIOR: Final = (0.25, 0.4)  # published Sharpe ratios, halved twice
USER_PRIOR: Final = (0.0, 0.5)

REGISTRY_PREFIX: Final = "registry:"  # of a model and of a pilot: what follows is an alias or an id
_PREFIX: Final = "quantum_trader_user_model_"
PLACES: Final = {"ScoreFile": "file", "LearnedModel": "folder"}  # the parameter that says where a model's data lie
_imported_helpers: set[str] = set()  # names of the modules that users' files have imported from their own folders


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[models]]`` entry of a settings file."""

    model: str  # a built-in name, FILE.py:Class, a CSV or Parquet file of scores, or the folder of a trained model
    name: str = ""  # as shown in records and reports; empty: the class's own name
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    prior: tuple[float, float] | None = None  # mean and deviation of the annual gross portfolio Sharpe ratio
    weight: float | None = None  # in the average of several models; None: the class's own
    symbols: tuple[str, ...] = ()
    exit: dict[str, Any] = msgspec.field(default_factory=dict)  # what differs from the model's own
    enabled: bool = True
    follows: str = ""  # the alias that a run follows, as registry:champion; set where the model was found by one
    registry: str = ""  # folder of that registry

    @property
    def shown(self) -> str:
        """Its name in records and reports."""
        path = Path(self.model.rpartition(":")[2])
        return self.name or (path.stem if path.suffix in SCORE_FILES else path.name)

    @property
    def is_intraday(self) -> bool:
        """Whether it names the compiled ensemble instead of a model."""
        return self.model == INTRADAY


def load_model(settings: ModelSettings, folder: Path | None = None, *, fresh: bool = False) -> LoadedModel:
    """The model that *settings* name; a relative FILE.py is looked for in *folder*, then in the current one.

    Runs the user's file: once for each content, or once more where *fresh* is asked for. Raises ConfigError naming what
    is wrong with it.
    """
    kind, file, source = _class_of(settings.model, folder, fresh)
    given = settings
    if kind is ScoreFile:
        given, source = _score_file(settings, folder, source)
    elif kind is LearnedModel:
        given = _learned_folder(settings, folder)
    params = _params(kind, given)
    made = _made(kind, params, settings, file)
    source += b"".join(helpers(file)) if file is not None else b""
    source += made.artefact.model_id.encode() if isinstance(made, LearnedModel) else b""
    digest, code = hashlib.sha256(source), hashlib.sha256(source)
    stated_params = _stated(params)
    name = kind.__name__ if kind in (ScoreFile, LearnedModel) else settings.model.rpartition(":")[2]
    prior, weight = prior_of(settings), _weight(kind, settings)
    stated = [name, stated_params, settings.exit, prior, settings.symbols, weight]
    digest.update(msgspec.json.encode(stated, order="deterministic"))
    code.update(msgspec.json.encode([name, stated_params], order="deterministic"))
    loaded = LoadedModel(
        name=settings.shown, weight=weight, model=made,
        fingerprint=digest.hexdigest(), code=code.hexdigest(),
        source=str(settings.params.get(PLACES[settings.model])) if settings.model in PLACES else settings.model,
        forecast=ForecastSettings(prior_mean=prior[0], prior_sd=prior[1]),
        exit=_exit(made, settings), symbols=settings.symbols, file=str(file) if file is not None else "",
        content_id=made.artefact.model_id if isinstance(made, LearnedModel) else "",
    )
    check_statements(loaded)
    return loaded


def _stated(params: msgspec.Struct) -> msgspec.Struct:
    """*params* without where a file or folder lies, which decides nothing: its content is part of the source."""
    if isinstance(params, ScoreFile.Params):
        return msgspec.structs.replace(params, file="")
    return LearnedModel.Params(folder="") if isinstance(params, LearnedModel.Params) else params


def _made(
    kind: type[Model] | type[FrameModel], params: msgspec.Struct, settings: ModelSettings, file: Path | None
) -> Model | FrameModel:
    """The model of *kind*; ConfigError with the line where its own constructor raises."""
    try:
        return kind(params)
    except (ConfigError, DataError):
        raise
    except Exception as error:
        where = _at(error, file) if file is not None else ""
        raise ConfigError(
            f"--model {settings.model}: {where}{type(error).__name__}: {error}; a model is made as "
            f"{kind.__name__}(params), and its __init__(self, params=None) calls super().__init__(params)"
        ) from error


def expanded(settings: Sequence[ModelSettings]) -> tuple[ModelSettings, ...]:
    """*settings* with the models of the set ``trend`` in the place of its name; ConfigError for what a set has not.

    What the entry states (prior, symbols, exit, enabled) holds for each of them; ``weight`` multiplies their own.
    """
    made: list[ModelSettings] = []
    for one in settings:
        if one.model != TREND:
            made.append(one)
            continue
        for key in ("name", "params"):
            if getattr(one, key):
                raise ConfigError(
                    f"models: {TREND}.{key} = {getattr(one, key)!r}: {TREND} is a set; leave it out, or name its "
                    f"models one by one ({', '.join(TREND_MODELS)})"
                )
        times = 1.0 if one.weight is None else one.weight
        made += [
            msgspec.structs.replace(one, model=name, weight=times * kind.weight)
            for name, kind in TREND_MODELS.items() if name not in NOT_ENABLED
        ]
    return tuple(made)


def classes_in(file: Path) -> list[tuple[str, str]]:
    """The model classes that *file* defines, by their bases' names, with their docstrings; its code is not run.

    Raises OSError or SyntaxError where it cannot be read.
    """
    known, found = {"Model", "FrameModel"}, []
    for node in ast.parse(file.read_bytes()).body:
        bases = {ast.unparse(base).rpartition(".")[2] for base in getattr(node, "bases", ())}
        if isinstance(node, ast.ClassDef) and bases & known:
            known.add(node.name)
            found.append((node.name, ast.get_docstring(node) or ""))
    return found


def with_class(text: str) -> str:
    """FILE.py as FILE.py:Class where it has one model class; any other *text* as it is.

    Raises ConfigError with the classes where the file has several, or none.
    """
    if not text.endswith(".py"):
        return text
    file = _find(Path(text), None)
    try:
        names = [name for name, _ in classes_in(file)]
    except OSError as error:
        raise ConfigError(f"--model {text}: cannot be read ({error.strerror})") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"--model {text}: {_at(error, file)}{type(error).__name__}: {_said(error)}") from None
    if len(names) == 1:
        return f"{text}:{names[0]}"
    if not names:
        advice = (
            "it looks like a freqtrade strategy, which docs/how-to-from-freqtrade.md shows how to write as a model"
            if b"IStrategy" in file.read_bytes() else "`quantum-trader model new NAME` writes one"
        )
        raise ConfigError(f"--model {text!r}: {file.name} has no model class; {advice}")
    raise ConfigError(f"--model {text!r}: name the class too, as {text}:{names[0]}; it has {', '.join(names)}")


def prior_of(settings: ModelSettings) -> tuple[float, float]:
    """Mean and deviation of the prior of a model: as stated, or by where it comes from."""
    if settings.prior is not None:
        return settings.prior
    return BUILT_IN_PRIOR if settings.model in TREND_MODELS else USER_PRIOR


def _weight(kind: type[Model] | type[FrameModel], settings: ModelSettings) -> float:
    """The class's weight or that of *settings*; ConfigError where it is none."""
    weight = kind.weight if settings.weight is None else settings.weight
    if not (isinstance(weight, int | float) and 0.0 < weight <= 100.0):
        raise ConfigError(
            f"{settings.shown}: weight = {weight!r}: must be above 0 and at most 100; "
            "enabled = false leaves a model out"
        )
    return float(weight)


def _exit(model: Model | FrameModel, settings: ModelSettings) -> Exit:
    """The model's exit with what *settings* change of it."""
    if not isinstance(model.exit, Exit):
        raise ConfigError(f'{settings.shown}: exit = {model.exit!r}: write Exit(on="score", stop_atr=3) in the class')
    try:
        return msgspec.convert({**msgspec.structs.asdict(model.exit), **settings.exit}, Exit)
    except (msgspec.ValidationError, InputError) as error:
        raise ConfigError(f"{settings.shown}: exit = {settings.exit!r}: {error}") from None


def load_models(settings: Sequence[ModelSettings], folder: Path | None = None) -> tuple[LoadedModel, ...]:
    """The enabled models of *settings*, loaded; empty where the compiled intraday ensemble is meant.

    Raises ConfigError where the ensemble is to be combined with another model.
    """
    enabled = [one for one in expanded(settings) if one.enabled]
    if any(one.model == INTRADAY for one in enabled):
        if len(enabled) > 1:
            raise ConfigError(f"models: {INTRADAY} has a calibration of its own and cannot be combined with others")
        plain = ModelSettings(model=INTRADAY, name=enabled[0].name)
        for key in ("params", "prior", "symbols", "exit", "weight"):
            if getattr(enabled[0], key) != getattr(plain, key):
                given = getattr(enabled[0], key)
                raise ConfigError(f"models: {INTRADAY}.{key} = {given!r}: cannot be set; leave it out")
        return ()
    if settings and not enabled:
        raise ConfigError("models: none is enabled; enable one of them, or leave [[models]] out")
    return tuple(load_model(one, folder) for one in enabled)


def make_forecasts(
    settings: Sequence[ModelSettings], symbols: tuple[str, ...], base_ns: int, *, kept_bars: int = 0
) -> Forecasts | None:
    """The forecasts of *settings*' models over base bars of *base_ns*; None where the intraday ensemble is meant.

    *kept_bars*: bars that are kept at least, for models that take over later.
    """
    loaded = load_models(settings)
    return Forecasts(symbols, base_ns, loaded, kept_bars=kept_bars) if loaded else None


def _class_of(
    text: str, folder: Path | None, fresh: bool = False
) -> tuple[type[Model] | type[FrameModel], Path | None, bytes]:
    """The class named by *text*, its file and its source."""
    if Path(text).suffix.lower() in SCORE_FILES:
        return ScoreFile, None, _module_source(ScoreFile)
    path, colon, name = text.rpartition(":")
    if text.endswith(".py"):
        return _class_of(with_class(str(_find(Path(text), folder))), folder, fresh)
    if not colon or not path.endswith(".py"):
        if text in BUILT_IN:
            kind = BUILT_IN[text]
            return kind, None, _module_source(kind)
        if _is_learned(text, folder):
            return LearnedModel, None, _module_source(LearnedModel)
        if text.startswith(REGISTRY_PREFIX):
            raise ConfigError(
                f"--model {text!r}: cannot be had from its registry now; `quantum-trader registry verify` says why"
            )
        names = [TREND, *BUILT_IN, INTRADAY]
        begun = [one for one in names if text and one.startswith(text)]
        near = begun or difflib.get_close_matches(text, names, n=1)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        if Path(text).suffix and not near:
            raise ConfigError(
                f"--model {text!r}: is no file of a model; name FILE.py:Class, or scores in a "
                f"{' or '.join(SCORE_FILES)} file (save a spreadsheet as .csv)"
            )
        if any(place.is_dir() for place in _places(Path(text), folder)):
            raise ConfigError(
                f"--model {text!r}: is a folder without a trained model of signals (card.json and arrays.npz); name "
                "the folder of one, as `quantum-trader model train` prints it"
            )
        raise ConfigError(f"--model {text!r}: is no built-in model ({', '.join(names)}){hint}")
    file = _find(Path(path), folder)
    source = file.read_bytes()
    found = getattr(_run_file(file, source, fresh), name, None)
    if found is None:
        names = _model_names(file, source)
        known = f"it has {', '.join(names)}" if names else "it has no model class"
        raise ConfigError(f"--model {text!r}: {file.name} has no {name!r}; {known}")
    if not (isinstance(found, type) and issubclass(found, (Model, FrameModel))):
        raise ConfigError(f"--model {text!r}: {name} is no class of Model or FrameModel")
    return found, file, source


def _module_source(kind: type[Model]) -> bytes:
    """The source of a built-in model with that of the functions it calls."""
    module = inspect.getmodule(kind)
    assert module is not None, "a built-in class has a module"
    return inspect.getsource(module).encode()


def _places(path: Path, folder: Path | None) -> list[Path]:
    """Where *path* is looked for."""
    return [path] if path.is_absolute() or folder is None else [folder / path, path]


def _is_learned(text: str, folder: Path | None) -> bool:
    """Whether *text* names the folder of a trained model."""
    return bool(text) and any(is_learned_folder(place) for place in _places(Path(text), folder))


def _learned_folder(settings: ModelSettings, folder: Path | None) -> ModelSettings:
    """*settings* with the path of the trained model's folder among the parameters."""
    text = settings.params.get("folder") if settings.model == "LearnedModel" else settings.model
    if not isinstance(text, str) or not text:
        raise ConfigError(f"LearnedModel: params.folder = {text!r}: name the folder of a trained model")
    found = next((place for place in _places(Path(text), folder) if place.is_dir()), Path(text))
    return msgspec.structs.replace(settings, params={**settings.params, "folder": str(found.absolute())})


def _find(path: Path, folder: Path | None) -> Path:
    for place in _places(path, folder):
        if place.is_file():
            return place.resolve()
    hint = "" if path.suffix.lower() in SCORE_FILES else "; `quantum-trader model new NAME` writes one"
    raise ConfigError(f"--model {path}: there is no such file{hint}")


def _score_file(settings: ModelSettings, folder: Path | None, source: bytes) -> tuple[ModelSettings, bytes]:
    """*settings* with the path of the score file among the parameters, and its content behind the *source*."""
    named = Path(settings.model).suffix.lower() in SCORE_FILES
    name = settings.model if named else settings.params.get("file")
    if not isinstance(name, str) or Path(name).suffix.lower() not in SCORE_FILES:
        raise ConfigError(f"ScoreFile: params.file = {name!r}: name a CSV or Parquet file, as \"scores.csv\"")
    path = _find(Path(name), folder)
    return msgspec.structs.replace(settings, params={**settings.params, "file": str(path)}), source + path.read_bytes()


def helpers(file: Path) -> list[bytes]:
    """The sources that *file* imports from its own folder, and those that they import, in the order of their names."""
    found = _helper_files(file)
    return [found[path] for path in sorted(found)]


def _helper_files(file: Path) -> dict[Path, bytes]:
    """The files that *file* imports from its own folder, and those that they import, with their sources."""
    found: dict[Path, bytes] = {}
    waiting = [file]
    while waiting:
        one = waiting.pop()
        for name in _imported(one):
            near = [file.parent / f"{name}.py", *sorted((file.parent / name).rglob("*.py"))]
            new = [path for path in near if path.is_file() and path != file and path not in found]
            found |= {path: path.read_bytes() for path in new}
            waiting += new
    return found


def _forget_helpers(file: Path, names: set[str]) -> None:
    """Let *file* import the modules *names* of its own folder anew.

    Another model's folder may have had a module of that name, or this one other content. Raises ConfigError for a
    name that a module of the program or of Python has: that one would be imported in its place.
    """
    for name in sorted(names & set(sys.modules)):
        if name not in _imported_helpers:
            origin = getattr(sys.modules[name], "__file__", None) or "part of Python"
            if Path(origin).parent in (file.parent, file.parent / name):
                continue
            raise ConfigError(
                f"--model {file}: imports {name}, which is a file of its folder and another module too ({origin}); "
                "rename the file"
            )
        for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
            del sys.modules[module]


def _imported(file: Path) -> set[str]:
    """The first parts of the module names that *file* imports."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return set()
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | named} - {"quantum_trader"}


class _ReadSource(importlib.abc.SourceLoader):
    """Loads a file's source as it was read and hashed: not read again, and not from an older compiled file."""

    def __init__(self, file: Path, source: bytes) -> None:
        self._file, self._source = file, source

    def get_filename(self, fullname: str) -> str:
        """The file's path."""
        return str(self._file)

    def get_data(self, path: str) -> bytes:
        """The source that was read."""
        return self._source


class _OwnFiles(importlib.abc.MetaPathFinder):
    """Imports the files of a model's own folder as they were read and hashed."""

    def __init__(self, folder: Path, sources: Mapping[Path, bytes]) -> None:
        self._sources = sources
        self._files: dict[str, Path] = {}  # by the name of the module
        for path in sources:
            place = path.parent if path.name == "__init__.py" else path.with_suffix("")
            self._files[".".join(place.relative_to(folder).parts)] = path

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The module *fullname*, where it is one of those files."""
        file = self._files.get(fullname)
        if file is None:
            return None
        loader = _ReadSource(file, self._sources[file])
        return importlib.util.spec_from_loader(fullname, loader, is_package=file.name == "__init__.py")


def _run_file(file: Path, source: bytes, fresh: bool = False) -> ModuleType:
    """Run the user's *file* once for each content (once more where *fresh*), with its folder importable."""
    near = _helper_files(file)
    content = b"".join([str(file).encode(), source, *(near[path] for path in sorted(near))])
    name = _PREFIX + hashlib.sha256(content).hexdigest()[:16]
    if fresh:
        sys.modules.pop(name, None)
    if name in sys.modules:
        return sys.modules[name]
    loader = _ReadSource(file, source)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None, "a loader of source has a spec"
    module = importlib.util.module_from_spec(spec)
    names = {path.relative_to(file.parent).parts[0].removesuffix(".py") for path in near}
    _forget_helpers(file, names)
    finder = _OwnFiles(file.parent, near)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    sys.meta_path.insert(0, finder)
    try:
        loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise ConfigError(f"--model {file}: {_at(error, file)}{type(error).__name__}: {_said(error)}") from error
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(str(file.parent))
        _imported_helpers.update(names & set(sys.modules))
    return module


def _at(error: BaseException, file: Path) -> str:
    """The line of *file* at fault, as "line 3: "."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: "
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line else ""


def _said(error: BaseException) -> str:
    """What *error* says, without the file and line that Python adds to a fault of syntax."""
    return error.msg if isinstance(error, SyntaxError) else str(error)


def _model_names(file: Path, source: bytes) -> list[str]:
    """The model classes that *file* defines."""
    module = _run_file(file, source)
    return [
        name for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, (Model, FrameModel)) and kind.__module__ == module.__name__
    ]


def _params(kind: type[Model] | type[FrameModel], settings: ModelSettings) -> msgspec.Struct:
    """The parameters of *settings* as the class's own struct; ConfigError names the nearest one."""
    if not (isinstance(kind.Params, type) and issubclass(kind.Params, msgspec.Struct)):
        raise ConfigError(
            f"--model {settings.model}: Params is no msgspec.Struct; write class Params(msgspec.Struct, frozen=True)"
        )
    _check_keys(settings.params, msgspec.structs.fields(kind.Params), settings.model)
    try:
        made = msgspec.convert(settings.params, kind.Params)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{settings.model}: params: {error}") from None
    _check_nested(settings.params, made, settings.model)
    return made


def _check_nested(given: Any, made: Any, where: str) -> None:
    """Raise ConfigError where *given* has a key that the structs in *made* of it have not, at any depth."""
    if isinstance(made, msgspec.Struct) and isinstance(given, Mapping):
        fields = msgspec.structs.fields(made)
        _check_keys(given, fields, where)
        for field in fields:
            if field.encode_name in given:
                _check_nested(given[field.encode_name], getattr(made, field.name), where)
    elif isinstance(made, Mapping) and isinstance(given, Mapping):
        for key, value in given.items():
            _check_nested(value, made.get(key), where)
    elif isinstance(made, list | tuple) and isinstance(given, list | tuple):
        for one, other in zip(given, made, strict=False):
            _check_nested(one, other, where)


def _check_keys(given: Mapping[str, Any], fields: Sequence[msgspec.structs.FieldInfo], where: str) -> None:
    known = [field.encode_name for field in fields]
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(known)) or 'none'}"
            raise ConfigError(f"{where}: unknown parameter {key!r}; {hint}")
