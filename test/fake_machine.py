"""A machine's /sys and /proc as a folder, for tests; values change by atomic rename."""

from __future__ import annotations

import os
from pathlib import Path

ZONE = "class/thermal/thermal_zone0/temp"
POLICY = "devices/system/cpu/cpufreq/policy0"
GPU = "class/devfreq/17000000.gpu"


class FakeMachine:
    """Starts with one thermal zone, an INA3221, a RAPL package with a core below it, and one clock.

    More is put there by `add_*`; the faults are those that a machine can have at any file below /sys.
    """

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
        self.write(f"{POLICY}/scaling_cur_freq", 1500000)
        self.ticks(busy=1000, idle=9000)
        self.memory(total=1000, available=750)
        self.write_proc("loadavg", "0.52 0.58 0.59 1/189 1234")
        self.write_proc("self/stat", "12 (a) b) (c) R 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 1 0 5 0 0")

    def write(self, path: str, value: object) -> Path:
        return _replace(self.sys / path, str(value))

    def write_proc(self, path: str, value: object) -> Path:
        return _replace(self.proc / path, str(value))

    def temperature(self, value_c: float) -> None:
        self.write(ZONE, round(value_c * 1000))

    def energy(self, counter_uj: int) -> None:
        self.write("class/powercap/intel-rapl:0/energy_uj", counter_uj)

    def ticks(self, busy: int, idle: int) -> None:
        self.write_proc("stat", f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")

    def memory(self, total: int, available: int) -> None:
        self.write_proc("meminfo", f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n")

    def pressure(self, percent: float) -> None:
        self.write_proc("pressure/memory", f"some avg10={percent:.2f} avg60=0.50 avg300=0.10 total=12345")

    # --- clocks that can be limited; in kHz for the processor, in Hz for the GPU

    def add_cpufreq(
        self, clocks_khz: tuple[int, ...] = (600000, 1000000, 1500000), listed: bool = True
    ) -> None:
        low, high = min(clocks_khz), max(clocks_khz)
        for name, value in (
            ("cpuinfo_min_freq", low),
            ("cpuinfo_max_freq", high),
            ("scaling_min_freq", low),
            ("scaling_max_freq", high),
        ):
            self.write(f"{POLICY}/{name}", value)
        if listed:
            self.write(f"{POLICY}/scaling_available_frequencies", " ".join(map(str, clocks_khz)))

    def add_devfreq(self) -> None:
        self.write(f"{GPU}/cur_freq", 306000000)
        self.write(f"{GPU}/min_freq", 306000000)
        self.write(f"{GPU}/max_freq", 918000000)
        self.write(f"{GPU}/available_frequencies", "306000000 612000000 918000000")
        self.write(f"{GPU}/device/load", 415)

    def text(self, path: str) -> str:
        return (self.sys / path).read_text().strip()

    def number(self, path: str) -> int:
        return int(self.text(path))

    # --- network

    def add_network(self, interface: str, wireless: bool = False) -> None:
        self.write(f"class/net/{interface}/device/vendor", "0x14e4")
        if wireless:
            self.write(f"class/net/{interface}/wireless/status", 0)

    def traffic(self, **bytes_: tuple[int, int]) -> None:
        """Received and sent bytes, by interface."""
        lines = ["Inter-|   Receive  |  Transmit", " face |bytes    packets |bytes    packets"]
        lines += [f"{name:>6}: {rx} 9 0 0 0 0 0 0 {tx} 9 0 0 0 0 0 0" for name, (rx, tx) in bytes_.items()]
        self.write_proc("net/dev", "\n".join(lines))

    def signal(self, text: str) -> None:
        self.write_proc("net/wireless", f"Inter-| sta-|\n face | tus |\n wlan0: {text}")

    # --- batteries

    def add_battery(self, name: str = "BAT0", **values: object) -> None:
        for file, value in {"type": "Battery", "status": "Discharging", "capacity": 64, **values}.items():
            self.write(f"class/power_supply/{name}/{file}", value)

    # --- faults

    def pipe(self, path: str) -> None:
        """Puts a pipe without a writer in the file's place: opened the plain way it would block for ever."""
        (self.sys / path).unlink(missing_ok=True)
        os.mkfifo(self.sys / path)

    def input_output_error(self, path: str) -> None:
        """Puts something in the file's place that fails as a broken chip does: memory at address 0."""
        (self.sys / path).unlink(missing_ok=True)
        (self.sys / path).symlink_to("/proc/self/mem")

    def remove(self, path: str) -> None:
        """Takes a file, or whatever is in its place, away."""
        target = self.sys / path
        target.rmdir() if target.is_dir() else target.unlink()


def _replace(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text + "\n")
    fresh.replace(path)
    return path
