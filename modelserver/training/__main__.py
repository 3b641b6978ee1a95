"""`python -m modelserver.training JOB_DIR`: trains one job and tells of it in progress.jsonl."""

import errno
import os
import sys
from pathlib import Path

from modelserver.child import WAITING_IN_TRAINING

# Before torch is imported: the server answers meanwhile.
os.environ.update({**WAITING_IN_TRAINING, **os.environ})
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The server has resolved the base already: all of it is on this machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from modelserver.bases import BaseError
from modelserver.training.adapter_gguf import AdapterError, DivergedError
from modelserver.training.order import Order, TrainingError
from modelserver.training.render import RenderError


def main(folder: Path) -> int:
    """The exit code; whatever goes wrong is told in words first."""
    order = Order.read(folder)
    try:
        from modelserver.training.train import train

        return train(order)
    except TrainingError as error:
        order.tell(type="error", code=error.code, message=str(error), param=error.param)
    except DivergedError as error:
        message = f"{error}: try a smaller learning_rate_multiplier"
        param = "learning_rate_multiplier"
        order.tell(type="error", code="loss_diverged", message=message, param=param)
    except (BaseError, RenderError, AdapterError) as error:
        order.tell(type="error", code="base_model_unusable", message=str(error), param="model")
    except MemoryError:
        order.tell(type="error", code="out_of_memory", message=_OUT_OF_MEMORY, param="batch_size")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        order.tell(type="error", code="disk_full", message=_DISK_FULL, param=None)
    except RuntimeError as error:
        if "out of memory" not in str(error) and "can't allocate" not in str(error):
            raise
        order.tell(type="error", code="out_of_memory", message=_OUT_OF_MEMORY, param="batch_size")
    return 1


_OUT_OF_MEMORY = (
    "memory ran out: choose a smaller batch_size or shorter examples, or close other programs"
)
_DISK_FULL = "the disk is full: make room in the data folder and create the job again"

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
