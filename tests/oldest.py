"""Print the oldest versions that pyproject.toml allows of what the package needs, as constraints for pip.

What only develops the package is left as new as there is: nobody installs it with the package.
"""

import sys
import tomllib
from pathlib import Path

OPTIONAL = ("media", "praat", "kaldi", "hdf5", "dask", "fast")

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
needed = [*project["dependencies"], *(each for extra in OPTIONAL for each in project["optional-dependencies"][extra])]
sys.stdout.write("".join(f"{each.replace('>=', '==')}\n" for each in needed))
