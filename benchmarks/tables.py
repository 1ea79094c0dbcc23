"""Rebuild the tables and figures of every comparison in RESULTS.md from its stored answers.

    python benchmarks/tables.py        # or: make tables

benchmarks/results/NAME holds `comparison.json` and `predictions/` of one comparison, copied from
its --out folder. Nothing is trained here and no picture is looked at.
"""

from pathlib import Path

from deeppneumonia.workflows.comparison_tables import rebuild_results

HERE = Path(__file__).parent

if __name__ == "__main__":
    for name in rebuild_results(HERE / "results", HERE / "RESULTS.md", HERE / "figures"):
        print(f"{name}: tables in RESULTS.md, figures in figures/")
