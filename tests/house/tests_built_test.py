import json
import os
import unittest

from house import ROOT, ScratchTest, run


class TestsBuiltTest(ScratchTest):
    """Checks against a hand-made build folder, and ours against the one CTest runs from."""

    def setUp(self):
        super().setUp()
        self.test = self.write("tests/engine/planted_test.cc", "\n")
        self.commands([])

    def commands(self, entries: list) -> None:
        self.write("build/compile_commands.json", json.dumps(entries))

    def build_it_as(self, target: str) -> None:
        self.commands([{
            "directory": str(self.scratch / "build"),
            "command": f"clang++ -o tests/engine/CMakeFiles/{target}.dir/planted_test.cc.o -c x",
            "file": str(self.test)}])

    def check(self):
        return run(ROOT / "scripts/checks/tests_built.py", "--root", self.scratch,
                   "--build", self.scratch / "build")

    def test_our_tree_passes(self):
        self.assert_passes(run(ROOT / "scripts/checks/tests_built.py", "--root", ROOT,
                               "--build", os.environ["ASHLAR_BUILD"]))

    def test_test_file_that_no_target_builds_is_refused(self):
        self.assert_fails_with(self.check(),
                               "tests/engine/planted_test.cc:1: [tests-built] no target")

    def test_test_file_beside_its_source_counts_too(self):
        self.test.unlink()
        self.write("src/engine/planted_test.cc", "\n")
        self.assert_fails_with(self.check(),
                               "src/engine/planted_test.cc:1: [tests-built] no target")

    def test_program_that_ctest_does_not_run_is_refused(self):
        self.build_it_as("engine_test")
        self.write("build/tests/engine/CTestTestfile.cmake", 'include("other_engine_test.cmake")\n')
        self.assert_fails_with(self.check(), "[tests-built] CTest does not run engine_test")

    def test_program_that_ctest_runs_passes(self):
        self.build_it_as("engine_test")
        self.write("build/tests/engine/CTestTestfile.cmake",
                   'include("engine_test[1]_include.cmake")\n')
        self.assert_passes(self.check())


if __name__ == "__main__":
    unittest.main()
