"""Power flow on a radial grid by backward and forward sweeps: the compiled part of `tree_flow.py`.

Backward, from the leaves: the power of each bus and what the edges below it lose add up to the flow
of its edge. Forward, from the root: the voltage falls by what the flow drops over resistance and
reactance. Loads draw the same power at any voltage, so flows change a little once voltages are
known; a fixed number of rounds makes the result a function of the input alone.

Units: mW and mvar, mA, mV (line to line, balanced three phases), uOhm. Losses are kept in mW: whole
watts, rounded down per edge, would lose up to half of them.

A feeder loaded many times above its rating has no solution. So that it still has a result, and no
product reaches 2**63, voltages are held at half of the root's or above, flows at `POWER_HELD` or
below and currents at `CURRENT_HELD` or below; nothing real comes near.

Bounds, checked by the caller: at most 2**16 buses, the sum of all absolute powers at most 2**33 mW,
impedances below 2**20 uOhm, the root's voltage from 2**15 to 2**20 mV.
"""

from runtime.kernels.arrays import ARRAY, INT, Int64Array
from runtime.kernels.jit import kernel

ROUNDS = 5
"""Two rounds settle a healthy feeder to the mV; at several times the rating it takes four."""

Edges = tuple[Int64Array, Int64Array, Int64Array]
"""parent, r_uohm, x_uohm; index 0 is the root and has no edge."""
Flows = tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]
"""p_mw, q_mvar at the child's end (towards it), current_ma, loss_mw, voltage_mv."""

EDGES, FLOWS = f"UniTuple({ARRAY}, 3)", f"UniTuple({ARRAY}, 5)"

MICRO = 1_000_000
SQRT_3_PPM = 1_732_051
POWER_HELD = 2**34  # mW; 17 MW in a low-voltage cable
CURRENT_HELD = 2**24  # mA; 17 kA in a low-voltage cable
SQUARE_SAFE = 2**31 - 1
"""The sum of two squares of numbers up to it stays below 2**63."""


@kernel(f"{INT}({INT})")
def square_root(value: int) -> int:
    """The largest integer whose square is at most `value` >= 0, digit by binary digit."""
    root, bit = 0, 1 << 62
    while bit > value:
        bit >>= 2
    while bit != 0:
        if value >= root + bit:
            value -= root + bit
            root = (root >> 1) + bit
        else:
            root >>= 1
        bit >>= 2
    return root


@kernel(f"{INT}({INT}, {INT})")
def magnitude(p: int, q: int) -> int:
    """Length of (p, q), exact to about 2**-30 of it."""
    a, b = abs(p), abs(q)
    shift = 0
    while max(a, b) >> shift > SQUARE_SAFE:
        shift += 1
    a, b = a >> shift, b >> shift
    return square_root(a * a + b * b) << shift


@kernel(f"{INT}({INT}, {INT}, {INT})")
def current_of(p_mw: int, q_mvar: int, voltage_mv: int) -> int:
    """Current in mA per phase of a balanced three-phase flow."""
    current_ma = magnitude(p_mw, q_mvar) * MICRO // (voltage_mv * SQRT_3_PPM // 1_000)
    return min(current_ma, CURRENT_HELD)


@kernel(f"{INT}({INT}, {INT})")
def loss_of(current_ma: int, uohm: int) -> int:
    """What the current turns into heat (or reactive power) in all three phases, in mW."""
    drop_uv = current_ma * uohm // 1_000
    return 3 * drop_uv * current_ma // MICRO


@kernel(f"void({EDGES}, {ARRAY}, {ARRAY}, {FLOWS})")
def sweep_back(edges: Edges, load_mw: Int64Array, load_mvar: Int64Array, flows: Flows) -> None:
    """Flows, currents and losses at the voltages known so far."""
    parent, r_uohm, x_uohm = edges
    p, q, current, loss, voltage = flows
    p[:] = load_mw
    q[:] = load_mvar
    for v in range(parent.size - 1, 0, -1):
        above = parent[v]
        p[v] = min(max(p[v], -POWER_HELD), POWER_HELD)
        q[v] = min(max(q[v], -POWER_HELD), POWER_HELD)
        current[v] = current_of(p[v], q[v], voltage[v])
        loss[v] = loss_of(current[v], r_uohm[v])
        p[above] += p[v] + loss[v]
        q[above] += q[v] + loss_of(current[v], x_uohm[v])


@kernel(f"void({EDGES}, {INT}, {FLOWS})")
def sweep_forward(edges: Edges, source_mv: int, flows: Flows) -> None:
    """Voltages at the flows known so far."""
    parent, r_uohm, x_uohm = edges
    p, q, _, _, voltage = flows
    voltage[0] = source_mv
    for v in range(1, parent.size):
        drop_mv = (p[v] * r_uohm[v] + q[v] * x_uohm[v]) // (1_000 * voltage[v])
        voltage[v] = max(voltage[parent[v]] - drop_mv, source_mv >> 1)


@kernel(f"void({EDGES}, {INT}, {ARRAY}, {ARRAY}, {FLOWS})")
def sweep_tree(
    edges: Edges, source_mv: int, load_mw: Int64Array, load_mvar: Int64Array, flows: Flows
) -> None:
    """Flows, currents, losses and voltages of one state of the grid.

    Loads are positive, generation is negative. `flows` is written throughout; at the root the flow
    is what the whole grid takes, its losses included, and current and loss are 0.
    """
    _, _, current, loss, voltage = flows
    current[0] = 0
    loss[0] = 0
    voltage[:] = source_mv
    for _ in range(ROUNDS):
        sweep_back(edges, load_mw, load_mvar, flows)
        sweep_forward(edges, source_mv, flows)
    sweep_back(edges, load_mw, load_mvar, flows)
