"""The gateway starts fast and small."""

import subprocess
import sys


def test_the_gateway_process_never_imports_torch_or_transformers() -> None:
    program = "import sys, serving.gateway_process; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
