"""`python -m app.leash MODULE ARGUMENTS...`: runs a module that ends when its owner does.

The owner keeps the other end of our standard input. The kernel closes it when the owner ends,
killed or not, on every system; a killed owner so leaves no process behind.
"""

import os
import runpy
import signal
import sys
import threading

GRACE_S = 20.0


def _wait_for_end() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Timer(GRACE_S, os._exit, [1]).start()


if __name__ == "__main__":
    threading.Thread(target=_wait_for_end, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
