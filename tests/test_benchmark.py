"""The benchmark runs at all; what it measures is for its readers."""

import json
import subprocess
import sys

from helpers import PATIENCE, ROOT

BENCHMARK = [sys.executable, ROOT / 'tests/benchmark.py', '--effort', '1']


def test_the_benchmark_runs_at_its_quickest_and_prints_its_tables():
    result = subprocess.run(
        BENCHMARK, capture_output=True, text=True, timeout=3 * PATIENCE
    )
    assert (result.stderr, result.returncode) == ('', 0)
    assert '| tsTserv.py' in result.stdout
    assert '| tsUserv.py' in result.stdout


def test_the_benchmark_prints_its_figures_for_machines_as_well():
    words = [*BENCHMARK, '--json']
    result = subprocess.run(words, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert (result.stderr, result.returncode) == ('', 0)
    printed = json.loads(result.stdout)
    assert printed['machine']
    rows = [row for table in printed['tables'].values() for row in table]
    assert all(row['figure'] > 0 for row in rows)
    assert any(row['ratio'] for row in rows)
