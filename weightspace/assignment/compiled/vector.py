"""Vector loops over one row of scores, written as LLVM vectors: numba's own loops for these reductions stay scalar.

LLVM splits the vectors of eight doubles to what the processor has, so this is portable. Each function handles the
longest prefix that is a multiple of `STEP`; `rows` adds the rest. Scores are float32 or float64, all else float64.
(llvmlite's builders have no types that a checker could use, hence `Any`.)
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
STEP = 2 * LANES  # two chains of dependent operations hide each other's latency
FAR = 2**62  # no column

_DOUBLE, _LONG, _INT = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_DOUBLES, _LONGS, _INTS = (ir.VectorType(kind, LANES) for kind in (_DOUBLE, _LONG, _INT))


class _Loop:
    """The parts of a loop over columns: pointers, constants, and variables that live across iterations."""

    def __init__(self, context: Any, builder: Any, arrays: tuple[Any, ...], values: Any) -> None:
        self.builder: Any = builder
        made = [context.make_array(kind)(context, builder, value) for kind, value in zip(arrays, values, strict=False)]
        self.pointers = [array.data for array in made]
        size = cgutils.unpack_tuple(builder, made[0].shape)[0]
        self.stop = builder.and_(size, _LONG(-STEP))

    def each(self) -> Any:
        """Context of the body; yields the first column of the step."""
        return cgutils.for_range_slice(self.builder, _LONG(0), self.stop, _LONG(STEP), intp=_LONG)

    def variable(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self.builder, value)

    def _vector(self, which: int, column: Any) -> tuple[Any, Any]:
        place = self.builder.gep(self.pointers[which], [column])
        kind = ir.VectorType(place.type.pointee, LANES)
        return self.builder.bitcast(place, kind.as_pointer()), kind

    def load(self, which: int, column: Any) -> Any:
        """Eight neighbours of an array; single precision is widened."""
        place, kind = self._vector(which, column)
        found = self.builder.load(place, align=4)
        return self.builder.fpext(found, _DOUBLES) if kind.element == ir.FloatType() else found

    def store(self, which: int, column: Any, value: Any) -> None:
        place, _ = self._vector(which, column)
        self.builder.store(value, place, align=4)

    def reduce(self, operation: str, value: Any) -> Any:
        """Largest or smallest lane: llvm.vector.reduce.fmax, fmin, smin."""
        kind = value.type.element
        name = f"llvm.vector.reduce.{operation}.v{LANES}{'f64' if kind == _DOUBLE else 'i64'}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(kind, [value.type]), name)
        return self.builder.call(function, [value])

    def larger(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", x, y), x, y)

    def smaller(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", x, y), x, y)


def _constant(kind: ir.VectorType, value: float | list[int]) -> ir.Constant:
    return ir.Constant(kind, value if isinstance(value, list) else [value] * LANES)


def _spread(builder: Any, value: Any, kind: ir.VectorType) -> Any:
    """A vector whose lanes are all the same."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INT(0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _best_two(typing: Any, row: Any, price: Any) -> Any:
    """(largest of row - price, its first column, largest of the others) over the prefix; (-inf, FAR, -inf) if empty."""
    signature = types.Tuple((types.float64, types.int64, types.float64))(row, price)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loop = _Loop(context, builder, signature.args, values)
        low = _constant(_DOUBLES, float("-inf"))
        chains = [
            [loop.variable(low), loop.variable(low), loop.variable(_constant(_LONGS, FAR))]
            for _ in range(STEP // LANES)
        ]
        with loop.each() as (start, _):
            for number, (first, second, at) in enumerate(chains):
                column = builder.add(start, _LONG(number * LANES))
                value = builder.fsub(loop.load(0, column), loop.load(1, column))
                old = builder.load(first)
                better = builder.fcmp_ordered(">", value, old)
                builder.store(loop.larger(builder.select(better, old, value), builder.load(second)), second)
                builder.store(builder.select(better, value, old), first)
                builder.store(builder.select(better, _spread(builder, column, _LONGS), builder.load(at)), at)
        lanes = _constant(_LONGS, list(range(LANES)))
        (a, b, i), (c, d, j) = ([builder.load(place) for place in chain] for chain in chains)
        # The chains hold starts of eight columns; the lane gives the rest.
        i, j = builder.add(i, lanes), builder.add(j, lanes)
        same, over = builder.fcmp_ordered("==", c, a), builder.fcmp_ordered(">", c, a)
        take = builder.or_(over, builder.and_(same, builder.icmp_signed("<", j, i)))
        rest = loop.larger(loop.larger(b, d), builder.select(take, a, c))
        top, column = builder.select(take, c, a), builder.select(take, j, i)
        best = loop.reduce("fmax", top)
        tied = builder.fcmp_ordered("==", top, _spread(builder, best, _DOUBLES))
        where = loop.reduce("smin", builder.select(tied, column, _constant(_LONGS, FAR)))
        winner = builder.icmp_signed("==", column, _spread(builder, where, _LONGS))
        runner = loop.reduce("fmax", builder.select(winner, rest, top))
        return context.make_tuple(builder, signature.return_type, [best, where, runner])

    return signature, generate


def _relax(typing: Any, row: Any, price: Any, distance: Any, parent: Any, offset: Any, number: Any) -> Any:
    """One step of Dijkstra's method over the prefix: distance := min(distance, offset + price - row), parent with it.

    Returns the smallest distance, infinity if the prefix is empty. `parent` is int32.
    """
    signature = types.float64(row, price, distance, parent, types.float64, types.int32)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loop = _Loop(context, builder, signature.args[:4], values)
        base, own = _spread(builder, values[4], _DOUBLES), _spread(builder, values[5], _INTS)
        least = [loop.variable(_constant(_DOUBLES, float("inf"))) for _ in range(STEP // LANES)]
        with loop.each() as (start, _):
            for number, chain in enumerate(least):
                column = builder.add(start, _LONG(number * LANES))
                value = builder.fadd(base, builder.fsub(loop.load(1, column), loop.load(0, column)))
                old = loop.load(2, column)
                nearer = builder.fcmp_ordered("<", value, old)
                value = builder.select(nearer, value, old)
                loop.store(2, column, value)
                loop.store(3, column, builder.select(nearer, own, loop.load(3, column)))
                builder.store(loop.smaller(value, builder.load(chain)), chain)
        return loop.reduce("fmin", loop.smaller(*(builder.load(chain) for chain in least)))

    return signature, generate


def _find(typing: Any, distance: Any, owner: Any, value: Any) -> Any:
    """(first column at exactly this distance, first such column without an owner) over the prefix, or `FAR`."""
    signature = types.UniTuple(types.int64, 2)(distance, owner, types.float64)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loop = _Loop(context, builder, signature.args[:2], values)
        wanted, none = _spread(builder, values[2], _DOUBLES), _constant(_LONGS, FAR)
        found = [loop.variable(none), loop.variable(none)]
        with loop.each() as (start, _):
            for number in range(STEP // LANES):
                column = builder.add(start, _LONG(number * LANES))
                here = builder.add(_spread(builder, column, _LONGS), _constant(_LONGS, list(range(LANES))))
                at = builder.fcmp_ordered("==", loop.load(0, column), wanted)
                free = builder.icmp_signed("<", loop.load(1, column), _constant(_INTS, 0))
                for place, mask in zip(found, (at, builder.and_(at, free)), strict=True):
                    column_or_none = builder.select(mask, here, none)
                    old = builder.load(place)
                    earlier = builder.icmp_signed("<", column_or_none, old)
                    builder.store(builder.select(earlier, column_or_none, old), place)
        results = [loop.reduce("smin", builder.load(place)) for place in found]
        return context.make_tuple(builder, signature.return_type, results)

    return signature, generate


prefix_best_two: Any = intrinsic(_best_two)
prefix_relax: Any = intrinsic(_relax)
prefix_find: Any = intrinsic(_find)
