"""Linear equations against Gaussian elimination over whole matrices."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from weightspace.symmetry.freedom.system import LinearSystem

UNKNOWNS = 5
EQUATIONS = st.lists(
    st.dictionaries(st.integers(0, UNKNOWNS - 1), st.integers(-2, 2), min_size=1, max_size=4).map(
        lambda terms: tuple(terms.items())
    ),
    max_size=6,
)


def rank(rows: list[list[Fraction]], *, modulo_2: bool) -> int:
    """Rank of a matrix, by elimination."""
    rows = [[value % 2 if modulo_2 else value for value in row] for row in rows]
    found = 0
    for column in range(UNKNOWNS):
        pivot = next((row for row in rows[found:] if row[column]), None)
        if pivot is None:
            continue
        rows.remove(pivot)
        rows.insert(found, pivot)
        for number, row in enumerate(rows):
            if number != found and row[column]:
                share = row[column] / pivot[column]
                less = [a - share * b for a, b in zip(row, pivot, strict=True)]
                rows[number] = [value % 2 if modulo_2 else value for value in less]
        found += 1
    return found


def dense(terms: tuple[tuple[int, int], ...]) -> list[Fraction]:
    return [Fraction(sum(c for unknown, c in terms if unknown == i)) for i in range(UNKNOWNS)]


@given(EQUATIONS, st.booleans())
def test_solutions_are_all_there_are(equations: list[tuple[tuple[int, int], ...]], modulo_2: bool):
    system = LinearSystem(modulo_2=modulo_2)
    for terms in equations:
        system.equate(terms)
    solutions = [system.solution(unknown) for unknown in range(UNKNOWNS)]
    free = sorted({one for solution in solutions for one in solution})
    for chosen in free:  # one free unknown is 1, the others are 0
        value = [solution.get(chosen, Fraction(0)) for solution in solutions]
        assert value[chosen] == 1
        for terms in equations:
            total = sum(coefficient * value[unknown] for unknown, coefficient in terms)
            assert (total % 2 if modulo_2 else total) == 0
    assert len(free) == UNKNOWNS - rank([dense(terms) for terms in equations], modulo_2=modulo_2)


def test_what_stays_free_is_the_oldest_with_whole_coefficients():
    system = LinearSystem()
    system.equate([(0, 2), (1, -1)])  # a variance is the square of its scale
    assert system.solution(1) == {0: 2}
    assert system.solution(0) == {0: 1}
    system.equate([(0, 1)])
    assert system.solution(1) == {}
