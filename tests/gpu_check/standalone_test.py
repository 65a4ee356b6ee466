#!/usr/bin/env python3
"""The build of scripts/gpu_check needs CUDA and GoogleTest's sources alone, checked without building it a second time.

It is configured, which says what it compiles; the objects of these sources are already here, from the whole build. None of them
may have included a header, and none may need a symbol, that a machine without Sutura's libraries lacks. The two sources that only
this build has are compiled.

usage: standalone_test.py SOURCE_FOLDER BUILD_FOLDER
exit status 77: not checked, with the reason; a build that insists on CUDA (SUTURA_CUDA=ON) fails instead
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

SOURCE, BUILD = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
STANDALONE = BUILD / "tests" / "gpu_check" / "standalone"
# Who may own a header outside the tree and the toolkit: the compiler, the C library, the kernel's interface, GoogleTest, Debian's
# toolkit.
PACKAGES = re.compile(r"(libc6-dev|linux-libc-dev|libcrypt-dev|libstdc\+\+-\d+-dev|libgcc-\d+-dev|gcc-\d+|libgtest-dev|libgmock-dev|googletest|"
                      r"nvidia-cuda-dev|nvidia-cuda-toolkit|libthrust-dev|libcub-dev)(:\w+)?")
# Made by the linker or the compiler's start files.
MADE = {"_GLOBAL_OFFSET_TABLE_", "__dso_handle", "_DYNAMIC", "_end", "__stack_chk_fail"}
STAND_INS = ["blake2b.cpp.o", "without_onednn.cpp.o"]


def output(*command, **how):
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=True, **how).stdout


def cache(name):
    found = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(encoding="utf-8"), re.M)
    return found[1] if found and not found[1].endswith("-NOTFOUND") else ""


def why_not():
    """Why this build cannot be checked; empty if it can. What is missing is named first, what was chosen last."""
    if not cache("CMAKE_CUDA_COMPILER"):
        return "this build has no CUDA toolkit"
    if cache("CMAKE_GENERATOR") != "Ninja":
        return "only ninja tells which headers an object included"
    if not pathlib.Path("/usr/src/googletest/CMakeLists.txt").exists():
        return "no GoogleTest sources in /usr/src/googletest (package googletest)"
    return "objects of a sanitizer build need the sanitizer's symbols" if cache("SUTURA_SANITIZE") else ""


def status_of_skipping():
    return 1 if cache("SUTURA_CUDA") == "ON" and not cache("SUTURA_SANITIZE") else 77


def configure():
    """{object: command} of the standalone build, without GoogleTest's own. Objects are named as in the whole build."""
    command = ["cmake", "-S", SOURCE, "-B", STANDALONE, "-G", "Ninja", "-Wno-dev", "-DSUTURA_GPU_CHECK=ON", "-DSUTURA_CUDA=ON"]
    command += [f"-D{name}={cache(name)}" for name in ("CMAKE_CUDA_COMPILER", "CUDNN_INCLUDE_DIR", "CUDNN_LIBRARY") if cache(name)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    entries = json.loads((STANDALONE / "compile_commands.json").read_text(encoding="utf-8"))
    return {re.search(r" -o (\S+)", e["command"])[1]: e["command"] for e in entries if pathlib.Path(e["file"]).is_relative_to(SOURCE)}


def headers(listed):
    """{path} from lists of dependencies as ninja or a compiler writes them."""
    return {os.path.normpath(w) for w in re.split(r"[\s\\]+", listed) if w.startswith("/")}


def foreign_headers(objects, extra=()):
    """[header (package)] that objects of the whole build included and a standalone build may not."""
    deps = output("ninja", "-C", BUILD, "-t", "deps", *objects)
    missing = [line for line in deps.splitlines() if "deps not found" in line]
    assert not missing, missing
    tree = (str(SOURCE), *(str(pathlib.Path(p).resolve()) for p in toolkit()), *toolkit())
    outside = sorted(h for h in headers(deps) | set(extra) if not h.startswith(tree) and not of_cudnn(h))
    # A header may be known to dpkg by the name that a link gave it, in /usr or to the chosen one of several versions.
    queried = sorted({*outside, *map(os.path.realpath, outside)})
    owners = subprocess.run(["dpkg", "-S", *queried], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    owner = {}
    for line in owners.splitlines():
        package, _, path = line.rpartition(": ")
        owner[path] = package
    for h in outside:
        owner.setdefault(h, owner.get(os.path.realpath(h), "no package"))
    return [f"{h} ({owner[h]})" for h in outside if not all(PACKAGES.fullmatch(p) for p in owner[h].split(", "))]


def toolkit():
    """The toolkit's own folders. One whose headers lie among the system's (Debian's) is known by its packages."""
    root = pathlib.Path(cache("CMAKE_CUDA_COMPILER")).parent.parent
    return ([] if str(root) == "/usr" else [f"{root}/"]) + ["/usr/local/cuda"]


def of_cudnn(header):
    """cuDNN may lie in a folder of its own, or with its headers among the system's."""
    return os.path.basename(header).startswith("cudnn") and header.startswith(cache("CUDNN_INCLUDE_DIR") or "no cuDNN")


def symbols(paths, *options):
    """(defined, needed) names of object files, archives or shared libraries."""
    defined, needed = set(), set()
    for line in output("nm", "-P", *options, *paths, stderr=subprocess.DEVNULL).splitlines():
        words = line.split()
        if len(words) >= 2 and len(words[1]) == 1:
            (needed if words[1] == "U" else defined if words[1] not in "wv" else set()).add(words[0].split("@")[0])
    return defined, needed


def system_symbols():
    """What the toolchain, CUDA and GoogleTest define."""
    where = lambda library: output("g++", f"-print-file-name={library}").strip()
    shared = [os.path.realpath(where(f"lib{n}.so")) for n in ("stdc++", "gomp")] + [where(n) for n in ("libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2")]
    static = [where(n) for n in ("libc_nonshared.a", "libgcc.a", "libgtest.a", "libgmock.a", "libgtest_main.a")]
    cuda = pathlib.Path(cache("CMAKE_CUDA_COMPILER")).parent.parent
    static += [str(p) for p in cuda.glob("lib*/libcudart_static.a")][:1]
    shared += [p for p in [cache("CUDNN_LIBRARY")] if p] + [str(p) for n in ("cublas", "cublasLt") for p in sorted(cuda.glob(f"lib*/lib{n}.so*"))[:1]]
    return symbols(shared, "-D")[0] | symbols(static)[0] | MADE


class Standalone(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        commands = configure()
        cls.shared = [o for o in commands if (BUILD / o).exists()]
        # Where an op chooses its implementation, and nowhere else, `onednn` is another word for `reference`.
        cls.renamed = {o for o, c in commands.items() if "-Donednn=reference" in c}
        cls.own = {o: c for o, c in commands.items() if o not in cls.shared}
        names = sorted(pathlib.Path(o).name for o in cls.own)
        assert names == STAND_INS, f"not compiled by the whole build: {names}"
        for command in cls.own.values():  # the two stand-ins: what they include, and their objects
            subprocess.run(shlex.split(command) + ["-MD"], cwd=STANDALONE, check=True)
        cls.own_headers = set()
        for o in cls.own:
            cls.own_headers |= headers((STANDALONE / o).with_suffix(".d").read_text(encoding="utf-8"))
        cls.system = system_symbols()

    def unresolved(self, objects):
        """Symbols that nothing in a standalone build defines, with the names that the objects have there."""
        renamed = [BUILD / o for o in objects if o in self.renamed]
        defined, needed = symbols([BUILD / o for o in objects if o not in self.renamed])
        there = lambda names: {n.replace("6onednn", "9reference") for n in names}
        for names, own, more in zip((defined, needed), symbols([STANDALONE / o for o in self.own]), symbols(renamed) if renamed else (set(), set())):
            names |= own | there(more)
        return needed - defined - self.system

    def test_no_header_of_a_library_that_is_left_out(self):
        self.assertGreater(len(self.shared), 150)
        self.assertEqual(foreign_headers(self.shared, self.own_headers), [])

    def test_no_symbol_that_is_left_out(self):
        self.assertEqual(sorted(self.unresolved(self.shared))[:20], [])

    def test_only_objects_that_are_compiled_so_are_renamed(self):
        """An op test that called oneDNN's ReLU by its name would find none: `reference` has one, but not under that name."""
        self.assertTrue(self.renamed)
        self.assertEqual({o.split("/")[0] for o in self.renamed}, {"kernels"})
        with tempfile.TemporaryDirectory() as folder:
            caller = pathlib.Path(folder) / "caller.cpp"
            caller.write_text("namespace sutura { struct Context; struct Tensor;\n"
                              "namespace onednn { void relu_forward(Context&, const Tensor&, Tensor&); }\n"
                              "void call(Context& c, const Tensor& x, Tensor& y) { onednn::relu_forward(c, x, y); } }\n", encoding="utf-8")
            made = str(caller.with_suffix(".o"))
            subprocess.run(["g++", "-c", caller, "-o", made], check=True)
            needs = {n for n in symbols([made])[1] if "6onednn" in n}
            self.assertEqual(len(needs), 1)
            defined = symbols([BUILD / o for o in self.shared])[0]
            self.assertIn(next(iter(needs)).replace("6onednn", "9reference"), defined)
            self.assertEqual(self.unresolved([*self.shared, made]), needs)

    def test_headers_of_cudnn_may_lie_among_the_systems(self):
        with unittest.mock.patch(f"{__name__}.cache", lambda name: {"CUDNN_INCLUDE_DIR": "/usr/include", "CMAKE_CUDA_COMPILER": "/usr/bin/nvcc"}.get(name, "")):
            found = foreign_headers(["core/CMakeFiles/sutura_core.dir/error.cpp.o"], {"/usr/include/cudnn.h", "/usr/include/cudnn_ops.h", "/usr/include/sodium.h"})
            self.assertNotIn("/usr/", toolkit())
        self.assertEqual([h.split()[0] for h in found], ["/usr/include/sodium.h"])

    def test_a_build_that_insists_on_cuda_is_not_skipped(self):
        for values, status in (({"SUTURA_CUDA": "AUTO"}, 77), ({"SUTURA_CUDA": "OFF"}, 77), ({"SUTURA_CUDA": "ON"}, 1),
                               ({"SUTURA_CUDA": "ON", "SUTURA_SANITIZE": "address"}, 77)):
            with unittest.mock.patch(f"{__name__}.cache", lambda name, values=values: values.get(name, "")):
                self.assertEqual(why_not(), "this build has no CUDA toolkit")
                self.assertEqual(status_of_skipping(), status)

    def test_implementations_compile_where_onednn_is_another_word_for_reference(self):
        """What declares them, all at once: two declarations of one name must agree."""
        command = shlex.split(next(c for o, c in self.own.items() if "without_onednn" in o))
        everything = "".join(f'#include "{p.relative_to(SOURCE)}"\n' for p in sorted(SOURCE.glob("kernels/ops/*/*_impl.h")))
        self.assertIn("-Donednn=reference", command)
        command = command[:command.index("-o")] + ["-fsyntax-only", "-x", "c++", "-"]
        done = subprocess.run(command, cwd=STANDALONE, input=everything, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_sources_that_are_left_out_would_be_found(self):
        """What SUTURA_LEFT_OUT names, taken in by mistake."""
        for o, header, symbol in (("core/CMakeFiles/sutura_core.dir/blake2b.cpp.o", "/sodium", "crypto_generichash"),
                                  ("models/CMakeFiles/sutura_models.dir/safetensors.cpp.o", "/nlohmann/json.hpp", None),
                                  ("kernels/CMakeFiles/sutura_kernels.dir/cpu/onednn_engine.cpp.o", "/dnnl.hpp", "dnnl_")):
            found = foreign_headers([o])
            self.assertTrue(any(header in h for h in found), f"{o}: {found}")
            if symbol:
                self.assertTrue(any(symbol in s for s in self.unresolved([*self.shared, o])), o)
        needs_keys = [o for o in output("ninja", "-C", BUILD, "-t", "inputs", "bin/sutura").split() if o.endswith("guard.cpp.o")]
        self.assertTrue(any("ChaChaKey" in s for s in self.unresolved([*self.shared, *needs_keys])), needs_keys)


if __name__ == "__main__":
    if why_not():
        print(f"not checked: {why_not()}")
        sys.exit(status_of_skipping())
    unittest.main(argv=sys.argv[:1])
