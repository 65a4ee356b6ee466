"""Programs for a machine that lacks their libraries, in one file: the program, the cuDNN module, every library that they load, and
the dynamic loader, so that the machine's C library does not matter. NVIDIA's libraries are the machine's own."""
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

NVIDIA = ("libcuda.", "libcudart.", "libcudnn", "libcublas", "libnv")


def loaded(program):
    """[path] of what the loader maps for `program`, itself included, without NVIDIA's."""
    lines = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    words = [line.split() for line in lines]
    paths = [w[2] if w[1:2] == ["=>"] else w[0] for w in words if "linux-vdso" not in w[0] and not w[0].startswith(NVIDIA)]
    missing = [w[0] for w, path in zip(words, paths) if path == "not"]
    if missing:
        raise RuntimeError(f"{program} finds no {' '.join(missing)}")
    return [pathlib.Path(p) for p in paths if not pathlib.Path(p).name.startswith(NVIDIA)]


def pack(build, program, file):
    """build/bin/PROGRAM, build/lib/sutura_cudnn.so where it was built, and their libraries, without symbols. Bytes written."""
    binary, module = build / "bin" / program, build / "lib" / "sutura_cudnn.so"
    own = [binary] + ([module] if module.exists() else [])
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for part in ("bin", "lib"):
            (root / part).mkdir()
        libraries = {p.name: p for o in own for p in loaded(o)}
        for path in [*own, *libraries.values()]:
            to = root / ("bin" if path == binary else "lib") / path.name
            shutil.copy(path, to)
            if ".so" not in path.name or path == module:
                subprocess.run(["strip", to], check=True)
        # The lowest setting of xz: a third of the size in seconds, where the highest takes a minute for a little less.
        with tarfile.open(file, "w:xz", preset=1) as archive:
            archive.add(root, ".")
    return file.stat().st_size


def machine_folders():
    """Where this machine may have NVIDIA's libraries: what the loader is told, what it knows, the toolkit, Python's wheels."""
    listed = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    known = subprocess.run([listed, "-p"], stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines() if listed else []
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    folders += [os.path.dirname(line.split()[-1]) for line in known if line.strip().startswith(NVIDIA)]
    folders += [os.path.join(os.environ.get(root) or "/usr/local/cuda", lib) for root in ("CUDNN_ROOT", "CUDA_HOME") for lib in ("lib", "lib64")]
    folders += ["/usr/local/nvidia/lib64"]
    wheels = importlib.util.find_spec("nvidia")
    for root in (wheels.submodule_search_locations or []) if wheels else []:
        folders += sorted(map(str, pathlib.Path(root).glob("*/lib")))
    return [f for f in dict.fromkeys(folders) if f and os.path.isdir(f)]


def start(programs, program, folder):
    """(command, environment) that start a program of a build's folder, or of a file that pack() wrote, which is unpacked into
    `folder`."""
    if programs.is_dir():
        return [programs / "bin" / program], {}
    with tarfile.open(programs) as archive:
        # Nothing of the file may lie outside of the folder, where Python knows how to see to that (3.12, and later 3.9 to 3.11).
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    lib = folder / "lib"
    loader = next(lib.glob("ld-linux*"), None)
    if loader is None:
        raise ValueError(f"{programs.name} was not made by --pack")
    # A program that is started through its loader cannot find its own path: it is told where the module lies, and does not start
    # itself again to change how OpenMP waits.
    return ([loader, "--library-path", ":".join([str(lib), *machine_folders()]), folder / "bin" / program],
            {"SUTURA_MODULES": str(lib), "OMP_WAIT_POLICY": "passive"})
