"""`python -m serving.launch.server`: SGLang's own server, with its keys from the environment and out of its log.

On a command line everybody on the machine can read them, and SGLang logs all its arguments at each start. Consumes the
arguments of `sglang.launch_server`; the module is loaded again by every process that SGLang spawns, so none of them
logs a key.
"""

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from streams.masking import hide_in_logs

if TYPE_CHECKING:
    from serving.config import EngineConfig

KEY_VARIABLES: Mapping[str, str] = MappingProxyType(  # setting of [engine] -> variable that holds it
    {"api_key": "NEXTSTATE_ENGINE_API_KEY", "admin_api_key": "NEXTSTATE_ENGINE_ADMIN_API_KEY"}
)


def keys_for(config: "EngineConfig") -> dict[str, str]:
    """The variables for `main`; empty where a key is not set, whatever our own environment says."""
    return {variable: getattr(config, setting) or "" for setting, variable in KEY_VARIABLES.items()}


def with_keys(arguments: list[str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """The arguments, with the keys that the environment holds."""
    given = ((setting, environment.get(variable)) for setting, variable in KEY_VARIABLES.items())
    keys = [part for setting, key in given if key for part in (f"--{setting.replace('_', '-')}", key)]
    return [*arguments, *keys]


def main() -> None:
    """What `sglang.launch_server` does as a program."""
    from sglang.launch_server import run_server
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    load_plugins()
    try:
        run_server(prepare_server_args(with_keys(sys.argv[1:])))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


if __name__ in {"__main__", "__mp_main__"}:
    hide_in_logs(os.environ.get(variable, "") for variable in KEY_VARIABLES.values())
if __name__ == "__main__":
    main()
