"""A small run of the campaign of mutated inputs; `benchmarks/faults.py` runs the large one."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest
from tiny_bundle import shared_bundle

from synthgen.datasets.verify import verify

MUTATIONS = Path(__file__).parents[1] / "benchmarks" / "mutations.py"
COUNT = 200


@pytest.fixture(scope="module")
def mutations():
    """Return the module that makes the cases."""
    spec = importlib.util.spec_from_file_location("synthgen_benchmark_mutations", MUTATIONS)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kinds(mutations, tmp_path_factory):
    """Return an input of each kind."""
    return mutations.make_kinds(tmp_path_factory.mktemp("mutations"), shared_bundle())


def test_whatever_is_read_is_right_or_refused(mutations, kinds):
    """Mutated datasets, archives, bundles, cohorts and recipes give their content or the project's own error."""
    right = {mutations.SAME, mutations.REFUSED, mutations.OTHER}
    results = [(number, *mutations.run_case(kinds, 1, number)) for number in range(COUNT)]
    assert [result for result in results if result[2] not in right] == []
    refused = Counter(kind for _, kind, outcome, _ in results if outcome == mutations.REFUSED)
    assert set(refused) == set(kinds)  # a change that nobody notices would prove nothing
    assert sum(refused.values()) > COUNT / 2


def test_every_case_leaves_its_input_as_it_was(mutations, kinds):
    """The campaign does not fool itself: after a case its input is whole, and a difference is seen as one."""
    for kind in kinds.values():
        assert mutations.contents(kind.place.root) == kind.place.tree
    place = kinds["zarr"].place
    assert verify(place.root) == ()
    record = next(path for path in place.tree if path.endswith("c/0/0/0/0"))
    try:
        place.remove(record)
        assert mutations._outcome(kinds["zarr"], may_differ=False, tell=False) == mutations.REFUSED
        other = record.replace("c/0/0/0/0", "c/1/0/0/0")
        place.write(record, place.tree[other])
        assert mutations._outcome(kinds["zarr"], may_differ=False, tell=False) != mutations.SAME
    finally:
        place.restore()
