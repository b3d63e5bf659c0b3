"""Data folders: the bundled ones are read, and what is wrong with one is said precisely."""

from pathlib import Path

import pytest

from devnet.dataset import BUNDLED, SLOTS, DataInvalid, grids_in, load_grid, load_window
from tests.devnet.small_data import edit, solar_wh, write_data


def load(folder: Path) -> None:
    load_window(folder, load_grid(folder, "line"), "spring")


def test_the_bundled_folder_has_two_grids_and_three_windows_of_each() -> None:
    assert grids_in(BUNDLED) == ["rural1", "semiurb4"]
    for name, nodes, assets in (("rural1", 14, 26), ("semiurb4", 43, 68)):
        grid = load_grid(BUNDLED, name)
        assert (len(grid.nodes), len(grid.assets)) == (nodes, assets)
    for window in ("spring", "summer", "winter"):
        assert len(load_window(BUNDLED, load_grid(BUNDLED, "rural1"), window).spot_price) == SLOTS


def test_a_folder_in_the_documented_format_is_read(tmp_path: Path) -> None:
    folder = write_data(tmp_path)

    grid = load_grid(folder, "line")
    window = load_window(folder, grid, "spring")

    assert [node.parent for node in grid.nodes] == [-1, 0, 1, 2, 3]
    assert grid.transformer.no_load_loss_w == 300
    assert list(window.energy_wh) == ["hh1", "hh2", "pv1", "hh3"]
    assert window.energy_wh["pv1"][50] == solar_wh(50)
    assert window.spot_price[95] == -75_000


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    turned = ["note,p_rated_w,kind,node,asset", "x,4000,household,1,hh1", "x,9,pv,4,pv1"]
    (folder / "assets_line.csv").write_text("\n".join(turned))

    assert [asset.name for asset in load_grid(folder, "line").assets] == ["hh1", "pv1"]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("grid_line.csv", "length_mm,", "length,", "column length_mm missing; found node, parent"),
        ("grid_line.csv", "4,3,d", "4,5,d", "line 6: parent is 5, expected 0 to 3: the grid must"),
        ("grid_line.csv", "2,1,b", "2,-1,b", "line 4: parent is -1, expected"),
        ("grid_line.csv", "2,1,b", "2,2,b", "line 4: parent is 2, expected 0 to 1"),
        ("grid_line.csv", "0,-1,", "0,0,", "line 2: parent is 0, expected -1: node 0 is the root"),
        ("grid_line.csv", "2,1,b", "7,1,b", "line 4: node is 7, expected 2: nodes are numbered"),
        ("grid_line.csv", "20000,3000", "20000,3e3", "line 4: r_uohm is 3e3, expected an integer"),
        ("grid_line.csv", "20000,3000", "-1,3000", "line 4: length_mm is -1, expected an integer"),
        ("grid_line.csv", ",270000,187061,6000\n2", ",0,187061,6000\n2", "line 3: i_max_ma is 0"),
        ("grid_line.csv", "100000,0\n", "0,0\n", "line 2: p_max_w is 0, expected at least 1"),
        ("grid_line.csv", "800,270000", "800", "line 5: 9 values, expected 10"),
        ("transformer_line.json", '"v_lv_mv": 400000, ', "", "v_lv_mv is missing"),
        ("transformer_line.json", "400000", "true", "v_lv_mv is True, expected an integer"),
        ("transformer_line.json", "400000", "0", "v_lv_mv is 0, expected an integer from 1"),
        ("transformer_line.json", "{", "", "is not JSON"),
        ("transformer_line.json", "{", "[{", "is not JSON"),
        ("assets_line.csv", "hh2,2", "hh2,3", "line 3: node is 3, expected a node with a conn"),
        ("assets_line.csv", "hh2,2", "hh2,9", "line 3: node is 9, expected a node of the grid"),
        ("assets_line.csv", "hh2,2", "hh1,2", "line 3: asset is hh1, expected a name that no"),
        ("assets_line.csv", ",pv,", ",coal,", "line 4: kind is coal, expected one of household"),
        ("profiles_line_spring.csv", ",hh2,", ",hh9,", "column hh2 missing"),
        ("profiles_line_spring.csv", "x,5,105", "x,5,-5", "line 7: hh1 is -5, expected an integer"),
        ("profiles_line_spring.csv", "x,5,105", "x,5,", "line 7: hh1 is , expected an integer"),
        ("profiles_line_spring.csv", "x,5,", "x,6,", "line 7: slot is 6, expected 5"),
        ("market_spring.csv", "\n2015,-75000", "", "has 2015 slots, expected 2016"),
        ("market_spring.csv", "5,15000", "5,nan", "line 7: price_ueur_kwh is nan, expected an"),
        ("market_spring.csv", "5,15000", '5,"15', "unexpected end of data"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_column(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    folder = write_data(tmp_path)
    assert old in (folder / file).read_text()
    edit(folder / file, lambda text: text.replace(old, new, 1))

    with pytest.raises(DataInvalid) as caught:
        load(folder)

    assert file in str(caught.value)
    assert message in str(caught.value)
    assert caught.value.exit_code == 8


@pytest.mark.parametrize(
    "file", ["transformer_line.json", "assets_line.csv", "profiles_line_spring.csv"]
)
def test_a_file_that_is_missing_is_named(tmp_path: Path, file: str) -> None:
    folder = write_data(tmp_path)
    (folder / file).unlink()

    with pytest.raises(DataInvalid, match=f"{file} cannot be read: No such file"):
        load(folder)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    (folder / "assets_line.csv").write_bytes(b"asset,node\xff")

    with pytest.raises(DataInvalid, match="is not text"):
        load(folder)


def test_a_file_without_an_end_is_refused_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devnet.dataset.FILE_BYTES_MAX", 100_000)
    folder = write_data(tmp_path)
    (folder / "grid_line.csv").unlink()
    (folder / "grid_line.csv").symlink_to("/dev/zero")

    with pytest.raises(DataInvalid, match=r"grid_line\.csv is larger than 100000 bytes"):
        load(folder)


def test_an_empty_file_and_a_grid_without_nodes_are_refused(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    edit(folder / "grid_line.csv", lambda text: text.partition("\n")[0])
    with pytest.raises(DataInvalid, match="has no nodes"):
        load(folder)

    (folder / "grid_line.csv").write_text("")
    with pytest.raises(DataInvalid, match="column node, parent"):
        load(folder)


def test_a_grid_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"no grid 'line' in .*: found no grid_NAME.csv at all"):
        load_grid(tmp_path, "line")
    with pytest.raises(DataInvalid, match="found rural1, semiurb4"):
        load_grid(BUNDLED, "rural9")
