"""libwinnow: it shows what its header declares and no more; the example is C11 and runs."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["WINNOW_BUILD"])
SOURCE = pathlib.Path(os.environ["WINNOW_SOURCE"])
HEADER = SOURCE / "include" / "winnow.h"


def run(*args, **kwargs):
    done = subprocess.run([*map(str, args)], capture_output=True, text=True, timeout=120, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def sanitizers():
    cache = (BUILD / "CMakeCache.txt").read_text()
    found = re.search(r"^WINNOW_SANITIZE:STRING=(.+)$", cache, re.M)
    return [f"-fsanitize={found[1]}"] if found else []


def compiler():
    return re.search(r"^CMAKE_C_COMPILER:\w+=(.+)$", (BUILD / "CMakeCache.txt").read_text(), re.M)[1]


class Library(unittest.TestCase):
    def test_exports_are_the_header(self):
        declared = set(re.findall(r"WINNOW_API [^;]*?\b(wn_\w+)\(", HEADER.read_text()))
        lines = run("nm", "-D", "--defined-only", BUILD / "libwinnow.so").splitlines()
        shown = {line.split()[-1] for line in lines if line.split()[-2] in "TDBRW"}
        shown = {name for name in shown if not name.startswith(("__asan", "__odr_asan", "__ubsan", "__tsan"))}
        self.assertGreater(len(declared), 10)
        self.assertEqual(shown, declared)

    def test_header_stands_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            for name, flags in [("x.c", ["-std=c11"]), ("x.cpp", ["-std=c++11"])]:
                path = pathlib.Path(folder) / name
                path.write_text("#include <winnow.h>\nint use(void);\nint use(void) { return wn_index_wants_merge(0); }\n")
                tool = "clang" if name.endswith("cpp") else compiler()
                run(tool, *flags, "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I", HEADER.parent, path)

    def test_example(self):
        with tempfile.TemporaryDirectory() as folder:
            program, index = pathlib.Path(folder) / "example", pathlib.Path(folder) / "vectors.index"
            run(compiler(), "-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror", *sanitizers(), "-I", HEADER.parent,
                SOURCE / "examples" / "index.c", "-o", program, f"-L{BUILD}", "-lwinnow", f"-Wl,-rpath,{BUILD}")
            lines = run(program, index).splitlines()
            self.assertEqual(len(lines), 7)
            self.assertEqual(lines[5:], ["now first: 2000", "loaded: 2001 rows"])
            index.write_bytes(index.read_bytes()[:-8])
            with self.assertRaises(AssertionError) as refused:
                run(program, pathlib.Path(folder) / "absent" / "x")
            self.assertIn("store: ", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
