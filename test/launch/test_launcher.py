"""The launcher, on tiny processes: prefixes, exit codes, respawn, signals, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from support import REPO, wait_until

from qeil_ros.rosless.launch import (
    InlineFile,
    LaunchDescription,
    Launcher,
    LogMessage,
    ProcessSpec,
    ShutdownRequest,
)
from qeil_ros.rosless.launch.guardian import marked

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {SLEEPER}"
VERY_STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {STUBBORN}"


class Lines:
    """Collects what a launcher says."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str]] = []

    def __call__(self, label: str, stream: str, line: str) -> None:
        self.entries.append((label, stream, line))

    def of(self, label: str, stream: str = "stdout") -> list[str]:
        return [line for name, kind, line in list(self.entries) if name == label and kind == stream]

    @property
    def launch(self) -> str:
        return "\n".join(line for _, kind, line in list(self.entries) if kind == "launch")


def python(name: str, code: str, **options: object) -> ProcessSpec:
    command = (sys.executable, "-S", "-c", textwrap.dedent(code))
    return ProcessSpec(
        **{"name": name, "command": command, "environ": dict(os.environ), "output": "screen", **options}
    )


def launcher(*actions: ProcessSpec | LogMessage | ShutdownRequest) -> tuple[Launcher, Lines]:
    lines = Lines()
    return Launcher(LaunchDescription(actions), on_line=lines), lines


def test_lines_exit_codes_and_streams() -> None:
    code = "import sys; print('one'); print('two', end=''); print('bad', file=sys.stderr); sys.exit(3)"
    run, lines = launcher(python("a", code), python("b", "print('b')"), LogMessage("hello"))
    with run:
        assert run.wait(30)
    assert lines.of("a-1") == ["one", "two"]
    assert lines.of("a-1", "stderr") == ["bad"]
    assert lines.of("b-2") == ["b"]
    assert run.poll() == {"a": 3, "b": 0}
    assert run.failed
    assert "[INFO] [launch.user]: hello" in lines.launch
    assert "[ERROR] [a-1]: process has died [pid " in lines.launch
    assert "exit code 3" in lines.launch
    assert "[INFO] [b-2]: process has finished cleanly" in lines.launch


def test_printed_prefix(capfd: pytest.CaptureFixture[str]) -> None:
    run = Launcher(LaunchDescription((python("a", "import sys; print('x'); print('y', file=sys.stderr)"),)))
    with run:
        assert run.wait(30)
    captured = capfd.readouterr()
    assert "[a-1] x\n" in captured.out
    assert "[a-1] y\n" in captured.err


def test_output_log_shows_stderr_only_and_keeps_the_rest_in_the_log(tmp_path: Path) -> None:
    lines = Lines()
    spec = python("a", "import sys; print('quiet'); print('loud', file=sys.stderr)", output="log")
    with Launcher(LaunchDescription((spec,)), lines, tmp_path / "launch.log") as run:
        assert run.wait(30)
    assert lines.of("a-1") == []
    assert lines.of("a-1", "stderr") == ["loud"]
    log = (tmp_path / "launch.log").read_text()
    assert "[a-1] quiet" in log and "[a-1] loud" in log and "finished cleanly" in log


def test_inline_files_are_written_and_removed() -> None:
    code = "import sys; print(sys.argv[1]); print(open(sys.argv[1]).read())"
    spec = python("a", code)
    spec = ProcessSpec(**{**vars(spec), "command": (*spec.command, InlineFile("x: 1"))})
    run, lines = launcher(spec)
    with run:
        assert run.wait(30)
    path, text = lines.of("a-1")
    assert text == "x: 1"
    assert path.endswith(".yaml") and not os.path.exists(path)


def test_long_and_undecodable_output_is_passed_on() -> None:
    code = "import sys; sys.stdout.buffer.write(b'x' * 200000 + b'\\n\\xff\\n'); sys.stdout.flush()"
    run, lines = launcher(python("a", code))
    with run:
        assert run.wait(30)
    assert "".join(lines.of("a-1")) == "x" * 200000 + "\N{REPLACEMENT CHARACTER}"


def test_respawn_with_delay_and_bound() -> None:
    spec = python("a", "print('run', flush=True); raise SystemExit(1)", respawn=True)
    spec = ProcessSpec(**{**vars(spec), "respawn_delay_s": 0.05, "respawn_max_retries": 2})
    run, lines = launcher(spec)
    with run:
        assert run.wait(30)
    assert lines.of("a-1") == ["run"] * 3
    assert run.processes["a"].respawns == 2


def test_kill_then_respawn_by_hand() -> None:
    run, lines = launcher(python("server", SLEEPER), python("other", SLEEPER))
    with run:
        wait_until(lambda: lines.of("server-1") == ["up"], what="the first run")
        first = run.processes["server"].pid
        with pytest.raises(RuntimeError, match="still runs"):
            run.respawn("server")
        run.kill("server", signal.SIGKILL)
        wait_until(lambda: run.poll()["server"] == -signal.SIGKILL, what="its death")
        run.respawn("server")
        assert run.processes["server"].pid != first
        wait_until(lambda: lines.of("server-1") == ["up", "up"], what="the second run")
        assert run.poll() == {"server": None, "other": None}
    assert "exit code -9" in lines.launch
    with pytest.raises(RuntimeError, match="over"):
        run.respawn("server")


def test_same_name_twice_is_told_apart() -> None:
    run, lines = launcher(python("a", "print(1)"), python("a", "print(2)"))
    with run:
        assert run.wait(30)
    assert set(run.processes) == {"a-1", "a-2"}
    assert (lines.of("a-1"), lines.of("a-2")) == (["1"], ["2"])


def test_on_exit_shutdown_ends_the_others() -> None:
    run, lines = launcher(python("main", "pass", on_exit_shutdown=True), python("other", SLEEPER))
    with run:
        assert run.wait(30)
    assert "main-1 has ended" in lines.launch
    assert run.poll()["main"] == 0
    assert not run.failed


def test_delays_and_shutdown_request() -> None:
    run, lines = launcher(
        python("late", SLEEPER, after_s=0.1),
        LogMessage("now"),
        LogMessage("then", 0.05),
        ShutdownRequest("enough", 2.0),
    )
    with run:
        assert run.processes["late"].pid is None
        assert run.wait(30)
    said = lines.launch
    assert said.index("now") < said.index("then") < said.index("process started") < said.index("enough")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(SLEEPER, signal.SIGINT), (STUBBORN, signal.SIGTERM), (VERY_STUBBORN, signal.SIGKILL)],
)
def test_shutdown_escalates(code: str, expected: signal.Signals) -> None:
    run, lines = launcher(python("a", code))
    with run:
        wait_until(lambda: lines.of("a-1") == ["up"], what="the process")
        run.shutdown(timeout_s=0.4)
    returncode = run.poll()["a"]
    assert returncode == -expected
    assert ("sending SIGTERM" in lines.launch) == (expected != signal.SIGINT)
    assert ("sending SIGKILL" in lines.launch) == (expected == signal.SIGKILL)


def test_second_interrupt_does_not_wait() -> None:
    run, lines = launcher(python("a", VERY_STUBBORN, sigterm_timeout_s=600.0, sigkill_timeout_s=600.0))
    run.start()
    wait_until(lambda: lines.of("a-1") == ["up"], what="the process")
    for _ in range(3):
        run.interrupt("Ctrl-C")
    assert run.wait(30)
    assert run.poll()["a"] == -signal.SIGKILL


def test_a_missing_program_is_reported_and_ends_the_rest() -> None:
    run, _ = launcher(python("a", SLEEPER), ProcessSpec("ghost", ("no-such-program-here",)))
    with pytest.raises(FileNotFoundError, match="no program 'no-such-program-here'"):
        run.start()
    assert run.poll()["a"] is not None
    assert not run.alive


def test_an_error_in_the_callback_ends_the_launch_and_is_kept() -> None:
    def broken(label: str, stream: str, line: str) -> None:
        if stream == "stdout":
            raise BrokenPipeError("gone")

    run = Launcher(LaunchDescription((python("a", SLEEPER),)), broken)
    run.start()
    assert run.wait(30)
    assert isinstance(run.error, BrokenPipeError)
    assert run.poll()["a"] is not None


def test_emulated_terminal() -> None:
    code = "import sys; print(sys.stdout.isatty())"
    run, lines = launcher(python("a", code), python("b", code, emulate_tty=True))
    with run:
        assert run.wait(30)
    assert (lines.of("a-1"), lines.of("b-2")) == (["False"], ["True"])


def test_shell() -> None:
    run, lines = launcher(ProcessSpec("a", ("echo $((1+1))",), dict(os.environ), output="screen", shell=True))
    with run:
        assert run.wait(30)
    assert lines.of("a-1") == ["2"]


def test_shutdown_takes_grandchildren_along() -> None:
    code = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, '-S', '-c', {SLEEPER!r}], start_new_session=True)
        print(child.pid, flush=True)
        child.wait()"""
    run, lines = launcher(python("a", code))
    with run:
        wait_until(lambda: len(lines.of("a-1")) == 2, what="the grandchild")
        grandchild = int(next(line for line in lines.of("a-1") if line.isdigit()))
        assert alive(grandchild)
    wait_until(lambda: not alive(grandchild), what="the grandchild's end")


def test_nothing_is_left_when_the_launcher_is_killed() -> None:
    code = f"""
        import os, sys
        from qeil_ros.rosless.launch import LaunchDescription, Launcher, ProcessSpec
        child = (sys.executable, '-S', '-c', {SLEEPER!r})
        shell = ('sh', '-c', 'sleep 600; true')
        run = Launcher(LaunchDescription((
            ProcessSpec('a', child, dict(os.environ)), ProcessSpec('b', shell, dict(os.environ)))))
        run.start()
        print(run._mark, *(process.pid for process in run.processes.values()), flush=True)
        run.wait()"""
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, cwd=REPO
    )
    assert parent.stdout is not None
    line = next(line for line in parent.stdout if line.startswith("QEIL_LAUNCH_ID="))
    mark, *pids = line.split()
    assert all(alive(int(pid)) for pid in pids)
    parent.kill()
    parent.wait()
    wait_until(lambda: not marked(mark), what="the end of the launched processes")
    assert not any(alive(int(pid)) for pid in pids)


def test_threads_may_ask_for_shutdown_together() -> None:
    run, lines = launcher(python("a", SLEEPER))
    run.start()
    wait_until(lambda: lines.of("a-1") == ["up"], what="the process")
    threads = [threading.Thread(target=run.shutdown) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not run.alive
    assert run.poll()["a"] is not None


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
