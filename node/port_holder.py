"""Says which process holds a port, so that a message about it can be acted upon."""

import time

import psutil

COMMAND_CHARS_MAX = 60  # enough to recognize a command in one line


def describe_taken(port: int, flag: str) -> str:
    """`Port 9944 is in use by pid 4711 (dret node run --alice, started 10:02). …`."""
    return (
        f"Port {port} is in use{_holder(port)}. Stop what listens there, or pass {flag} {port + 1}."
    )


def _holder(port: int) -> str:
    try:
        pids = [
            connection.pid
            for connection in psutil.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        ]
        pid = next((pid for pid in pids if pid is not None), None)
        if pid is None:
            return " by a process of another user"
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
        if len(command) > COMMAND_CHARS_MAX:
            command = command[: COMMAND_CHARS_MAX - 1] + "…"
        started = time.strftime("%H:%M", time.localtime(process.create_time()))
    except psutil.Error:
        return ""
    return f" by pid {pid} ({command}, started {started})"
