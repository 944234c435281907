"""Builds wheels that carry the specs of bench_specs/ and, with -C--build-option=--with-kernels, the CPU kernel.

Without that option the kernel is compiled on first use. pyproject.toml says all else.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SPECS = "bench_specs"  # of the repository, which the package finds beside itself where it is not built
RECIPE = ROOT / "rnnprop_cli" / "kernels" / "recipe.py"
spec = importlib.util.spec_from_file_location("recipe", RECIPE)
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)


class PackageWithSpecs(build_py):
    """The package, with the specs as a folder in it."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, "rnnprop_cli", SPECS)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for spec in sorted((ROOT / SPECS).glob("*.toml")):
            shutil.copy(spec, folder)


class WheelWithKernels(bdist_wheel):
    """A wheel for one kind of machine and any Python: the kernels are called through ctypes."""

    user_options = [  # noqa: RUF012 (as setuptools has it)
        *bdist_wheel.user_options,
        ("with-kernels", None, "compile the CPU kernel for all instruction sets of this kind of machine"),
    ]
    boolean_options = [*bdist_wheel.boolean_options, "with-kernels"]  # noqa: RUF012

    def initialize_options(self):
        super().initialize_options()
        self.with_kernels = False

    def finalize_options(self):
        if self.with_kernels:
            self.distribution.has_ext_modules = lambda: True
        super().finalize_options()

    def get_tag(self):
        tag = super().get_tag()
        return ("py3", "none", tag[2]) if self.with_kernels else tag

    def run(self):
        if self.with_kernels:
            self.run_command("build")
            folder = Path(self.get_finalized_command("build").build_lib, *RECIPE.parts[-3:-1], "prebuilt")
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            for instructions in recipe.instruction_sets():
                compile_into(folder, instructions)
        super().run()


def compile_into(folder, instructions):
    """Puts one compiled kernel, called by its content, into a folder."""
    compiler = shlex.split(os.environ.get("CXX", "")) or ["g++" if sys.platform == "linux" else "c++"]
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "kernel.so")
        subprocess.run(recipe.compile_command(compiler, instructions, output), check=True)
        content = output.read_bytes()
    (folder / recipe.file_name(recipe.file_stem(instructions), content)).write_bytes(content)


setup(cmdclass={"bdist_wheel": WheelWithKernels, "build_py": PackageWithSpecs})
