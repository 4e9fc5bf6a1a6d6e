import subprocess
import sys

HEAVY = ("torch", "optuna", "mlflow", "onnxruntime", "numpy")


def test_spaces_import_nothing_heavy() -> None:
    code = f"import sys, paretune.spaces; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
