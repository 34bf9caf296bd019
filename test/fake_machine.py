"""A machine's /sys and /proc as a folder, for tests; values change by atomic rename."""

from __future__ import annotations

import os
from pathlib import Path


class FakeMachine:
    """Starts with one thermal zone, an INA3221, a RAPL package with a core below it, and one clock."""

    def __init__(self, path: Path) -> None:
        self.sys, self.proc = path / "sys", path / "proc"
        zone = "class/thermal/thermal_zone0"
        self.write(f"{zone}/type", "cpu-thermal")
        for index, (kind, value_c) in enumerate((("active", 60), ("passive", 80), ("critical", 95))):
            self.write(f"{zone}/trip_point_{index}_type", kind)
            self.write(f"{zone}/trip_point_{index}_temp", value_c * 1000)
        self.temperature(45.0)
        chip = "class/hwmon/hwmon1"
        self.write(f"{chip}/name", "ina3221")
        self.write(f"{chip}/in1_label", "VDD_IN")
        self.write(f"{chip}/in1_input", 5000)
        self.write(f"{chip}/curr1_input", 1200)
        for path_, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core")):
            self.write(f"class/powercap/{path_}/name", name)
            self.write(f"class/powercap/{path_}/max_energy_range_uj", 262143328850)
            self.write(f"class/powercap/{path_}/energy_uj", 1000000)
        self.write("devices/system/cpu/cpufreq/policy0/scaling_cur_freq", 1500000)
        self.ticks(busy=1000, idle=9000)
        self.memory(total=1000, available=750)
        self.write_proc("loadavg", "0.52 0.58 0.59 1/189 1234")
        self.write_proc("self/stat", "12 (a) b) (c) R 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 1 0 5 0 0")

    def write(self, path: str, value: object) -> Path:
        return _replace(self.sys / path, str(value))

    def write_proc(self, path: str, value: object) -> Path:
        return _replace(self.proc / path, str(value))

    def temperature(self, value_c: float) -> None:
        self.write("class/thermal/thermal_zone0/temp", round(value_c * 1000))

    def energy(self, counter_uj: int) -> None:
        self.write("class/powercap/intel-rapl:0/energy_uj", counter_uj)

    def ticks(self, busy: int, idle: int) -> None:
        self.write_proc("stat", f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")

    def memory(self, total: int, available: int) -> None:
        self.write_proc("meminfo", f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n")

    def pipe(self, path: str) -> None:
        """Puts a pipe without a writer in the file's place: opened the plain way it would block for ever."""
        (self.sys / path).unlink(missing_ok=True)
        os.mkfifo(self.sys / path)


def _replace(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text + "\n")
    fresh.replace(path)
    return path
