"""A data folder small enough to read: three homes on a line behind a transformer of 100 kVA."""

import json
from collections.abc import Callable
from pathlib import Path

from devnet.dataset import SLOTS

GRID = """\
node,parent,name,kind,length_mm,r_uohm,x_uohm,i_max_ma,p_max_w,wh_max_15min
0,-1,busbar,lv_busbar,0,0,0,0,100000,0
1,0,a,connection,50000,10000,4000,270000,187061,6000
2,1,b,connection,20000,3000,1300,270000,187061,6000
3,2,c,junction,10000,2000,800,270000,187061,0
4,3,d,connection,10000,2000,800,270000,187061,9000
"""
TRANSFORMER = {
    "s_rated_va": 100_000,
    "v_lv_mv": 400_000,
    "no_load_loss_w": 300,
    "r_uohm_lv": 20_000,
    "x_uohm_lv": 40_000,
    "v_lv_noload_ppm": 1_025_000,
}
ASSETS = """\
asset,node,kind,p_rated_w
hh1,1,household,4000
hh2,2,household,5000
pv1,4,pv,30000
hh3,4,household,3000
bat1,4,battery,5000
"""
DAY = 96


def household_wh(number: int, slot: int) -> int:
    return 100 * number + slot % DAY


def solar_wh(slot: int) -> int:
    noon = abs(slot % DAY - 48)
    return max(0, 6_000 - 300 * noon) + slot // DAY


def profiles() -> str:
    lines = ["t_utc,slot,hh1,hh2,pv1,hh3"]
    for slot in range(SLOTS):
        loads = [household_wh(number, slot) for number in (1, 2, 3)]
        lines.append(f"x,{slot},{loads[0]},{loads[1]},{solar_wh(slot)},{loads[2]}")
    return "\n".join(lines) + "\n"


def market() -> str:
    rows = (f"{slot},{20_000 - 1_000 * (slot % DAY)}" for slot in range(SLOTS))
    return "slot,price_ueur_kwh\n" + "\n".join(rows) + "\n"


def write_data(folder: Path) -> Path:
    (folder / "grid_line.csv").write_text(GRID)
    (folder / "transformer_line.json").write_text(json.dumps(TRANSFORMER))
    (folder / "assets_line.csv").write_text(ASSETS)
    (folder / "profiles_line_spring.csv").write_text(profiles())
    (folder / "market_spring.csv").write_text(market())
    return folder


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))
