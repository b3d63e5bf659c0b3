"""Reads a data folder: a grid, the assets on it, and what they used and made in a window.

The format is documented in devnet/data/README.md; any folder in it will do. Everything is checked
here, once: who reads on may rely on a tree in breadth-first order, integers within range, and
`SLOTS` values per asset. What is wrong is said with file, line and column.

Units: Wh per slot of 15 minutes, W, uOhm, mA, mm, ppm, micro per kWh.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast

from node.errors import ConfigInvalid

SLOTS = 2_016
"""Three weeks of quarter hours, from a Monday 00:00 on."""

HISTORY_SLOTS = 1_344
"""Two weeks of history come before the week that is traded."""

WEEK_SLOTS = SLOTS - HISTORY_SLOTS
NODES_MAX = 1_023  # a chain's topology has at most 1 024 buses, one of them above the transformer
NUMBER_MAX = 2**40  # far above any real value, far below what could overflow in a formula
FILE_BYTES_MAX = 64 << 20  # three weeks of 1 000 assets have some 10 MB
GENERATION = "pv"
BATTERY = "battery"
KINDS = ("household", "commercial", "agriculture", "heat_pump", "ev", GENERATION, BATTERY)
BUNDLED = Path(__file__).parent / "data"


class DataInvalid(ConfigInvalid):
    """A data folder that does not have the documented format."""


@dataclass(frozen=True, slots=True)
class Node:
    """A bus of the low-voltage grid and the cable to its parent. Node 0 is the busbar."""

    parent: int
    """-1 for node 0."""

    length_mm: int
    r_uohm: int
    x_uohm: int
    i_max_ma: int
    p_max_w: int
    """Of the cable; for node 0 of the transformer."""

    wh_max: int
    """What a connection at this node can take or give in one slot; 0: no connection."""


@dataclass(frozen=True, slots=True)
class Transformer:
    """Between the busbar and the medium voltage."""

    s_rated_va: int
    v_lv_mv: int
    no_load_loss_w: int
    r_uohm_lv: int
    x_uohm_lv: int
    v_lv_noload_ppm: int
    """Voltage at the busbar without load, in parts of the rated one."""


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that uses, makes or stores energy at a node."""

    name: str
    node: int
    kind: str
    p_rated_w: int


@dataclass(frozen=True, slots=True)
class Grid:
    """A low-voltage grid."""

    name: str
    nodes: Sequence[Node]
    transformer: Transformer
    assets: Sequence[Asset]


@dataclass(frozen=True, slots=True)
class Window:
    """Three weeks on a grid."""

    name: str
    energy_wh: Mapping[str, Sequence[int]]
    """Per asset but the batteries, `SLOTS` values: use of a load, yield of generation."""

    spot_price: Sequence[int]
    """Wholesale price per slot; negative at times."""


def grids_in(folder: Path) -> list[str]:
    """The names of the grids in a folder."""
    return sorted(path.stem.removeprefix("grid_") for path in folder.glob("grid_*.csv"))


def load_grid(folder: Path, name: str) -> Grid:
    """Read a grid and its assets. Raises `DataInvalid`."""
    if name not in grids_in(folder):
        known = ", ".join(grids_in(folder)) or "no grid_NAME.csv at all"
        raise DataInvalid(f"There is no grid {name!r} in {folder}: found {known}.")
    nodes = read_nodes(folder / f"grid_{name}.csv")
    transformer = read_transformer(folder / f"transformer_{name}.json")
    return Grid(name, nodes, transformer, read_assets(folder / f"assets_{name}.csv", nodes))


def load_window(folder: Path, grid: Grid, name: str) -> Window:
    """Read what the assets of a grid did in a window, and its prices. Raises `DataInvalid`."""
    metered = [asset.name for asset in grid.assets if asset.kind != BATTERY]
    profiles = Table(folder / f"profiles_{grid.name}_{name}.csv", ("slot", *metered))
    energy = profiles.columns(metered, 0)
    market = Table(folder / f"market_{name}.csv", ("slot", "price_ueur_kwh"))
    price = market.columns(["price_ueur_kwh"], -NUMBER_MAX)["price_ueur_kwh"]
    return Window(name, energy, price)


def read_nodes(path: Path) -> list[Node]:
    """The nodes of a grid file, which must be a tree with node 0 as its root."""
    names = ("length_mm", "r_uohm", "x_uohm", "i_max_ma", "p_max_w", "wh_max_15min")
    table = Table(path, ("node", "parent", *names))
    nodes: list[Node] = []
    for line, row in table.rows():
        number, parent = table.integer(line, row, "node"), table.integer(line, row, "parent", -1)
        if number != len(nodes):
            table.fail(line, "node", number, f"{len(nodes)}: nodes are numbered from 0 on")
        if not nodes and parent != -1:
            table.fail(line, "parent", parent, "-1: node 0 is the root of the tree")
        if nodes and not 0 <= parent < number:
            limit = f"0 to {number - 1}: the grid must be a tree, each node below one before it"
            table.fail(line, "parent", parent, limit)
        node = Node(parent, *(table.integer(line, row, name) for name in names))
        if node.p_max_w == 0:
            table.fail(line, "p_max_w", 0, "at least 1")
        if nodes and node.i_max_ma == 0:
            table.fail(line, "i_max_ma", 0, "at least 1")
        nodes.append(node)
        if len(nodes) > NODES_MAX:
            raise DataInvalid(f"{path} has more than {NODES_MAX} nodes.")
    if not nodes:
        raise DataInvalid(f"{path} has no nodes.")
    return nodes


def read_transformer(path: Path) -> Transformer:
    """The transformer of a grid."""
    content = read_object(path)
    values: dict[str, int] = {}
    for name in Transformer.__annotations__:
        value = content.get(name)
        least = 1 if name in ("s_rated_va", "v_lv_mv", "v_lv_noload_ppm") else 0
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not least <= value <= NUMBER_MAX
        ):
            found = "missing" if name not in content else repr(value)
            raise DataInvalid(f"{path}: {name} is {found}, expected an integer from {least} on.")
        values[name] = value
    return Transformer(**values)


def read_object(path: Path) -> dict[str, object]:
    """The JSON object in a file. Raises `DataInvalid`."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataInvalid(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataInvalid(f"{path}: expected an object, found {type(content).__name__}.")
    return cast(dict[str, object], content)  # JSON's keys are strings


def read_assets(path: Path, nodes: Sequence[Node]) -> list[Asset]:
    """The assets of a grid, each at a node with a connection."""
    table = Table(path, ("asset", "node", "kind", "p_rated_w"))
    assets: list[Asset] = []
    names: set[str] = set()
    for line, row in table.rows():
        name, kind = row["asset"], row["kind"]
        node = table.integer(line, row, "node")
        if not name or name in names:
            table.fail(line, "asset", name, "a name that no other asset has")
        if kind not in KINDS:
            table.fail(line, "kind", kind, f"one of {', '.join(KINDS)}")
        if node >= len(nodes):
            table.fail(line, "node", node, f"a node of the grid: 0 to {len(nodes) - 1}")
        if nodes[node].wh_max == 0:
            table.fail(line, "node", node, "a node with a connection (wh_max_15min above 0)")
        names.add(name)
        assets.append(Asset(name, node, kind, table.integer(line, row, "p_rated_w")))
    return assets


class Table:
    """A CSV file with a header; further columns are ignored."""

    def __init__(self, path: Path, required: Sequence[str]) -> None:
        """Read the file. Raises `DataInvalid` when it cannot be read or columns are missing."""
        self.path = path
        reader = csv.reader(read_text(path).splitlines(), strict=True)
        try:
            self.header = next(reader, list[str]())
            self.lines = [row for row in reader if row]
        except csv.Error as error:
            raise DataInvalid(f"{path}, line {reader.line_num}: {error}.") from error
        missing = [name for name in required if name not in self.header]
        if missing:
            raise DataInvalid(
                f"{path}: column {', '.join(missing)} missing; found {', '.join(self.header)}."
            )
        for line, row in enumerate(self.lines, 2):
            if len(row) != len(self.header):
                raise DataInvalid(
                    f"{path}, line {line}: {len(row)} values, expected {len(self.header)} "
                    "as in the header."
                )

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and values by column."""
        for line, row in enumerate(self.lines, 2):
            yield line, dict(zip(self.header, row, strict=True))

    def columns(self, names: Sequence[str], least: int) -> dict[str, list[int]]:
        """Columns of a file with one row for each slot of a window."""
        slot = self.header.index("slot")
        for expected, row in enumerate(self.lines):
            if row[slot] != str(expected):
                self.fail(expected + 2, "slot", row[slot], str(expected))
        if len(self.lines) != SLOTS:
            raise DataInvalid(f"{self.path} has {len(self.lines)} slots, expected {SLOTS}.")
        found: dict[str, list[int]] = {}
        for name in names:
            position = self.header.index(name)
            texts = [row[position] for row in self.lines]
            try:
                values = [int(text) for text in texts]
                is_good = least <= min(values) and max(values) <= NUMBER_MAX
            except ValueError:
                values, is_good = [], False
            if not is_good:
                for line, by_name in self.rows():
                    self.integer(line, by_name, name, least)
            found[name] = values
        return found

    def integer(self, line: int, row: Mapping[str, str], name: str, least: int = 0) -> int:
        """A value of a row. Raises `DataInvalid` when it is no integer in range."""
        try:
            value = int(row[name])
        except ValueError:
            self.fail(line, name, row[name], "an integer")
        if not least <= value <= NUMBER_MAX:
            self.fail(line, name, value, f"an integer from {least} to {NUMBER_MAX}")
        return value

    def fail(self, line: int, column: str, found: object, expected: str) -> NoReturn:
        """Raise `DataInvalid` about one value."""
        raise DataInvalid(f"{self.path}, line {line}: {column} is {found}, expected {expected}.")


def read_text(path: Path) -> str:
    """A file's text. Raises `DataInvalid`."""
    try:
        with path.open("rb") as file:
            # Not by what the file system says: a device has no size and no end.
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise DataInvalid(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > FILE_BYTES_MAX:
        raise DataInvalid(f"{path} is larger than {FILE_BYTES_MAX} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataInvalid(f"{path} is not text: {error}.") from error
