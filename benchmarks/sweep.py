"""How much of the time of separate runs a series takes, as its members share their stages; and one with a bad point."""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from speechgmm.recipe.layout import SERIES_FILE
from speechgmm.recipe.series.points import SeriesPoint, load_series

RECIPE = Path(__file__).parent.parent / "recipes" / "so762_sweep.yaml"
TOO_MANY = "1000000"


def speechgmm(*arguments: object) -> tuple[float, int]:
    """Run a command, and give its seconds and exit status."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "speechgmm", *map(str, arguments)], capture_output=True, check=False)
    return time.perf_counter() - started, done.returncode


def with_bad_point(points: tuple[SeriesPoint, ...]) -> str:
    """Write the sweep as a list, whose last point asks for a million components."""
    listed = [dict(point.values) for point in points]
    listed[-1]["ubm.n_components"] = TOO_MANY
    points = [{key: json.loads(value) for key, value in values.items()} for values in listed]
    return f"sweep: {json.dumps({'list': points})}\n"


def main() -> None:
    """Print the ratio, and what the table says of a series with a point that cannot be run."""
    points = load_series(RECIPE).points
    alone, _, _ = RECIPE.read_text(encoding="utf-8").partition("sweep:")
    single = RECIPE.with_name("so762_sweep-single.yaml")  # beside it, as paths are relative
    with tempfile.TemporaryDirectory() as results:
        together, status = speechgmm("sweep", RECIPE, "--results", results)
        print(f"{len(points)} members as a series: {together:.0f} s, status {status}", flush=True)
        try:
            single.write_text(alone + with_bad_point(points), encoding="utf-8")
            seconds, status = speechgmm("sweep", single, "--results", results)
        finally:
            single.unlink()
        with (Path(results) / "so762_sweep" / SERIES_FILE).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    counts = Counter(row["status"] for row in rows)
    print(
        f"the last with {TOO_MANY} components: {dict(counts)} in {seconds:.0f} s, status {status}: {rows[-1]['reason']}"
    )
    separate = 0.0
    try:
        single.write_text(alone, encoding="utf-8")
        for point in points:
            sets = [part for key, value in point.values.items() for part in ("--set", f"{key}={value}")]
            with tempfile.TemporaryDirectory() as results:
                seconds, status = speechgmm("run", single, *sets, "--results", results)
            separate += seconds
            print(f"  {point.name} alone: {seconds:.1f} s, status {status}", flush=True)
    finally:
        single.unlink()
    print(f"{len(points)} separate runs: {separate:.0f} s; the series takes {together / separate:.0%} of that")


if __name__ == "__main__":
    main()
