"""The algebra of labels against brute-force index permutations.

A label under an assignment of permutations to its atoms *is* a permutation of its indices. Every operation of the
algebra states an identity between such permutations, which is checked entry by entry.
"""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.symmetry.oracle import Assignment
from weightspace.symmetry.algebra import Algebra, MisfitError
from weightspace.symmetry.axis import Run
from weightspace.symmetry.label import (
    Atom,
    Fixed,
    Label,
    Product,
    Site,
    Sum,
    Uniform,
    Varying,
    leaf_labels,
    resolve,
    side_by_side,
)
from weightspace.symmetry.regroup import reshape, slice_dim


@st.composite
def labels_of(draw, size: int, pool: dict[int, list[Atom]], depth: int = 2, uniform: bool = False) -> Label:
    """A random label of a given size; atoms come from a shared pool, so that they recur."""
    kinds = ["atom", "atom", "fixed"] + (["uniform"] if uniform else [])
    if depth and size > 3:
        kinds += ["sum", "scatter"]
        kinds += ["product"] if any(size % k == 0 for k in range(2, size)) else []
    kind = draw(st.sampled_from(kinds))
    if size == 1:
        return Fixed(1, "test")
    if kind == "fixed":
        return Fixed(size, "test")
    if kind == "uniform":
        return Uniform(size)
    if kind == "product":
        outer = draw(st.sampled_from([k for k in range(2, size) if size % k == 0]))
        return Product(
            [draw(labels_of(outer, pool, depth - 1, uniform)), draw(labels_of(size // outer, pool, depth - 1, uniform))]
        )
    if kind == "sum":
        cut = draw(st.integers(1, size - 1))
        return side_by_side(
            [draw(labels_of(cut, pool, depth - 1, uniform)), draw(labels_of(size - cut, pool, depth - 1, uniform))]
        )
    if kind == "scatter":
        sides = draw(st.integers(1, size // 2))
        part = draw(labels_of(2 * sides, pool, 0, uniform))
        if size == 2 * sides:
            return part
        middle = draw(labels_of(size - 2 * sides, pool, depth - 1, uniform))
        return Sum([part, middle], [Run(0, 0, sides), Run(1, 0, middle.size), Run(0, sides, sides)])
    existing = pool.setdefault(size, [])
    if existing and draw(st.booleans()):
        return draw(st.sampled_from(existing))
    existing.append(Atom(size))
    return existing[-1]


SEEDS = st.integers(0, 2**31)
SIZES = st.sampled_from([4, 6, 8, 12])


@settings(deadline=None, max_examples=150)
@given(st.data(), SIZES, SEEDS)
def test_carve_gathers_what_it_says(data, size, seed):
    algebra, pool = Algebra(), {}
    label = data.draw(labels_of(size, pool))
    cuts = sorted(data.draw(st.sets(st.integers(1, size - 1), max_size=3)))
    stretches = [(a, b - a) for a, b in itertools.pairwise([0, *cuts, size])]
    owner = [data.draw(st.integers(0, 1)) for _ in stretches]
    groups = [[s for s, o in zip(stretches, owner, strict=True) if o == g] for g in (0, 1)]
    groups = [g for g in groups if g]
    try:
        pieces = algebra.carve(label, groups)
    except MisfitError:
        assume(False)
    assignment = Assignment(seed)
    for piece, ranges in zip(pieces, groups, strict=True):
        positions = [i for start, length in ranges for i in range(start, start + length)]
        assert piece.size == len(positions)
        for i, position in enumerate(positions):
            assert assignment.old(label, position) == positions[assignment.old(piece, i)]


@settings(deadline=None, max_examples=150)
@given(st.data(), SIZES, SEEDS)
def test_split_is_the_outer_and_inner_index(data, size, seed):
    algebra = Algebra()
    label = data.draw(labels_of(size, {}))
    outer = data.draw(st.sampled_from([k for k in range(1, size + 1) if size % k == 0]))
    try:
        pair = list(algebra.split(label, outer))
    except MisfitError:
        assume(False)
    assert Assignment(seed).flat(pair, (outer, size // outer)) == Assignment(seed).flat([label], (size,))


@settings(deadline=None, max_examples=250)
@given(st.data(), SIZES, SEEDS)
def test_unified_labels_act_alike(data, size, seed):
    algebra, pool = Algebra(), {}
    x, y = data.draw(labels_of(size, pool)), data.draw(labels_of(size, pool))
    merged = algebra.unify(x, y)
    assignment = Assignment(seed)
    expected = [assignment.old(merged, i) for i in range(size)]
    assert [assignment.old(x, i) for i in range(size)] == expected
    assert [assignment.old(y, i) for i in range(size)] == expected


@settings(deadline=None, max_examples=100)
@given(st.data(), SIZES, SEEDS)
def test_unifying_with_uniform_stretches_keeps_the_other_side(data, size, seed):
    # A uniform stretch accepts any permutation, so only the other side is constrained: by nothing.
    algebra, pool = Algebra(), {}
    x, y = data.draw(labels_of(size, pool)), data.draw(labels_of(size, pool, uniform=True))
    merged = algebra.unify(y, x)
    assignment = Assignment(seed)
    assert [assignment.old(x, i) for i in range(size)] == [assignment.old(merged, i) for i in range(size)]


@settings(deadline=None, max_examples=150)
@given(st.data(), SEEDS)
def test_reshape_keeps_the_permutation_of_entries(data, seed):
    algebra, pool = Algebra(), {}
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    total = math.prod(shape)
    new, rest = [], total
    while rest > 1 and len(new) < 3:
        factor = data.draw(st.sampled_from([k for k in range(1, rest + 1) if rest % k == 0]))
        new.append(factor)
        rest //= factor
    new = (*new, rest)
    labels = [data.draw(labels_of(n, pool)) if n > 1 else Uniform(1) for n in shape]
    result = reshape(algebra, labels, shape, new, site=0)
    assert [label.size for label in result] == list(new)
    assert Assignment(seed).flat(result, new) == Assignment(seed).flat(labels, shape)


@settings(deadline=None, max_examples=100)
@given(st.data(), SIZES, SEEDS)
def test_slices_follow_their_tensor(data, size, seed):
    algebra = Algebra()
    label = data.draw(labels_of(size, {}))
    start = data.draw(st.integers(0, size - 1))
    length = data.draw(st.integers(1, size - start))
    (piece,) = slice_dim(algebra, [label], 0, start, length)
    assignment = Assignment(seed)
    for i in range(length):
        assert assignment.old(label, start + i) == start + assignment.old(piece, i)


def fused(heads: int = 2, d: int = 3) -> tuple[list[Label], list[Atom]]:
    """The label of a fused QKV dimension, seen as (3, heads, d)."""
    atoms = [Atom(n) for _ in range(3) for n in (heads, d)]
    parts = [Product(atoms[i : i + 2]) for i in (0, 2, 4)]
    return reshape(Algebra(), [side_by_side(parts)], (3 * heads * d,), (3, heads, d), site=0), atoms


def test_a_fused_projection_stays_three_projections():
    labels, atoms = fused()
    assert isinstance(labels[1], Varying)
    algebra = Algebra()
    for number in range(3):
        one = slice_dim(algebra, labels, 0, number, 1)
        assert resolve(one[1]) is atoms[2 * number]
        assert resolve(one[2]) is atoms[2 * number + 1]
    assert not any(atom.frozen for atom in atoms)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_a_fused_projection_flattens_back(seed):
    labels, _ = fused()
    back = reshape(Algebra(), labels, (3, 2, 3), (18,), site=1)
    assert isinstance(back[0], Sum)
    assert Assignment(seed).flat(back, (18,)) == Assignment(seed).flat(labels, (3, 2, 3))


def test_collapsing_a_fused_projection_makes_its_parts_equal():
    labels, atoms = fused()
    plain = Algebra().plain(labels)
    assert len({id(resolve(atom)) for atom in atoms[::2]}) == 1
    assert isinstance(plain[1], Atom)


def test_a_view_that_is_taken_apart_leaves_a_hint():
    algebra = Algebra()
    labels = reshape(algebra, [Atom(12)], (12,), (3, 4), site=7)
    slice_dim(algebra, labels, 0, 1, 1)
    assert algebra.new_hints == {Site(7, 3, 1), Site(7, 3, 2)}
    again = Algebra(frozenset(algebra.new_hints))
    labels = reshape(again, [Atom(12)], (12,), (3, 4), site=7)
    pieces = [resolve(slice_dim(again, labels, 0, i, 1)[1]) for i in range(3)]
    assert len({id(piece) for piece in pieces}) == 3
    assert not again.new_hints


def test_a_view_is_cut_only_where_it_is_taken_apart():
    algebra = Algebra()
    labels = reshape(algebra, [Atom(24)], (24,), (6, 4), site=7)
    rest = slice_dim(algebra, labels, 0, 0, 5)
    slice_dim(algebra, rest, 0, 4, 1)
    assert algebra.new_hints == {Site(7, 6, 4), Site(7, 6, 5)}
    again = Algebra(frozenset(algebra.new_hints))
    labels = reshape(again, [Atom(24)], (24,), (6, 4), site=7)
    queries, keys = slice_dim(again, labels, 0, 0, 4), slice_dim(again, labels, 0, 4, 1)
    assert [label.size for label in queries if isinstance(label, Atom)] == [4, 4]
    assert resolve(queries[1]) is not resolve(keys[1])
    assert not again.new_hints


def test_a_view_that_is_taken_apart_everywhere_is_no_stack():
    hints = frozenset(Site(7, 20, cut) for cut in range(1, 20))
    labels = reshape(Algebra(hints), [Atom(40)], (40,), (20, 2), site=7)
    assert [type(label) for label in labels] == [Atom, Atom]


def test_the_two_sides_of_a_padding_are_one_group():
    # pad(16 -> 32) meets the 32 channels of a block: 8 + 8 outer channels form one atom of 16.
    algebra, inside, channels = Algebra(), Atom(16), Atom(32)
    padded = Sum([Uniform(16), inside], [Run(0, 0, 8), Run(1, 0, 16), Run(0, 8, 8)])
    merged = algebra.unify(channels, padded)
    assert isinstance(merged, Sum)
    assert sorted(part.size for part in merged.parts) == [16, 16]
    assert [run.length for run in merged.runs] == [8, 16, 8]
    again = algebra.unify(merged, Sum([Uniform(16), inside], [Run(0, 0, 8), Run(1, 0, 16), Run(0, 8, 8)]))
    assert sorted(part.size for part in resolve(again).parts) == [16, 16]


def test_freezing_keeps_the_first_reason_and_the_identity():
    algebra, heads, d = Algebra(), Atom(2), Atom(3)
    algebra.freeze(heads, "first")
    algebra.freeze(Product([heads, d]), "second")
    assert (heads.frozen, d.frozen) == ("first", "second")
    assert resolve(algebra.unify(heads, Fixed(2, "third"))) is heads
    other = Atom(2)
    assert algebra.unify(other, heads) is not None
    assert next(iter(leaf_labels(resolve(other)))).frozen == "first"


def test_misfits_freeze_both_sides_and_say_why():
    algebra, a, b, c = Algebra(), Atom(2), Atom(3), Atom(2)
    algebra.reason = "add"
    x, y = Product([a, b]), Product([b, c])
    algebra.unify(x, y)
    assert all(atom.frozen is not None and atom.frozen.startswith("add: products") for atom in (a, b, c))


def test_what_has_no_identity_freezes_a_misfit_and_leaves_it_its_own():
    algebra, a, b = Algebra(), Atom(2), Atom(3)
    merged = algebra.unify(Product([a, b]), Product([Fixed(3, "first"), Uniform(2)]))
    assert list(leaf_labels(merged)) == [a, b]
    assert a.frozen
    assert b.frozen


@pytest.mark.parametrize("size", [0, 1, 5])
def test_labels_of_unequal_size_do_not_unify(size):
    with pytest.raises(MisfitError):
        Algebra().join(Atom(3), Fixed(size, ""))
