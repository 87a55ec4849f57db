"""The benchmark runs at all; what it measures is for its readers."""

import re
import subprocess
import sys

from helpers import PATIENCE, ROOT


def test_the_benchmark_at_its_quickest_prints_the_rows_that_the_readme_has():
    words = [sys.executable, ROOT / 'tests/benchmark.py', '--effort', '1']
    result = subprocess.run(words, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert (result.stderr, result.returncode) == ('', 0)

    def rows(text: str) -> list[tuple[str, str]]:
        found = re.findall(r'^\| (TCP|UDP)(, .*?) \| (.*?) \| [\d.]+ \|$', text, re.MULTILINE)
        return [(kind + re.sub(r'[\d.]+ s$', 's', load), rival) for kind, load, rival in found]

    assert rows(result.stdout) == rows((ROOT / 'README.md').read_text())
    assert len(rows(result.stdout)) == 10
