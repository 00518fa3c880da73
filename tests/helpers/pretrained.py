"""A tiny recogniser such as come with the package: two systems of one front end, trained on a few synthetic talkers."""

from pathlib import Path

from helpers.recipes import synthetic_corpus
from speechgmm import load_recipe, run
from speechgmm.gallery.pretrained import write_pretrained
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.results.gallery import recogniser_of_results

FRONT_END = "{n_cepstra: 8, n_filters: 12, deltas: {order: 0}, normalisation: {mean: 0}}"
"""The section features of its systems."""

RECIPE = f"""\
{synthetic_corpus(n_background=10, n_background_utterances=4, n_speakers=2, n_test=1)}
calibration: {{systems: scaled, prior: wide}}
systems:
  - &small {{name: small, features: {FRONT_END}, ubm: {{n_components: 4, n_iterations: 2}}}}
  - name: small_plda
    features: {FRONT_END}
    ubm: {{n_components: 4, n_iterations: 2}}
    vectors: {{kind: ivector, rank: 3, n_iterations: 2, pooled: true}}
    backend: [center, length, {{plda: {{smoothing: 1.0}}}}]
"""


def write_tiny(folder: Path) -> Path:
    """Write it into a folder under the name of speech16k; return that folder."""
    (folder / "tiny.yaml").write_text(RECIPE)
    done = run(folder / "tiny.yaml", results=folder / "results", engine=Engine("serial"), until_stage="evaluation")
    source = recogniser_of_results(done.folder, load_recipe(done.folder / "recipe.yaml"))
    about = {"name": "speech16k", "version": 1, "recipe": "recipes/pretrained/speech16k.yaml", "sources": []}
    write_pretrained(source, about, folder / "pretrained" / "speech16k")
    return folder / "pretrained"
