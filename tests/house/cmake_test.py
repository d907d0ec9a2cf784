import shutil
import unittest

from house import ROOT, ScratchTest, run


class LayerRuleInCMakeTest(ScratchTest):
    """A project of three folders and no compiler, with our ashlar_library and our layers.txt."""

    def setUp(self):
        super().setUp()
        self.copy("cmake")
        self.write("CMakeLists.txt", """\
            cmake_minimum_required(VERSION 3.25)
            project(planted LANGUAGES NONE)
            include(cmake/AshlarModule.cmake)
            foreach(folder common/base engine volume/core)
              add_subdirectory(src/${folder})
            endforeach()
            """)
        self.library("common/base", "")
        self.library("engine", "DEPS common/base")
        self.library("volume/core", "DEPS common/base engine")

    def library(self, folder: str, arguments: str) -> None:
        self.write(f"src/{folder}/CMakeLists.txt", f"ashlar_library({arguments})\n")

    def configure(self):
        return run("cmake", "-G", "Ninja", "-S", self.scratch, "-B", self.scratch / "build")

    def test_dependencies_that_point_down_configure(self):
        self.assert_passes(self.configure())

    def test_dependency_that_points_up_fails_with_the_rule(self):
        self.library("engine", "DEPS common/base volume/core")
        self.assert_fails_with(self.configure(), "src/engine/CMakeLists.txt:1",
                               "layer rule: src/engine may not depend on src/volume/core")

    def test_folder_without_a_layer_fails(self):
        self.library("extra", "")
        with open(self.scratch / "CMakeLists.txt", "a") as lists:
            lists.write("add_subdirectory(src/extra)\n")
        self.assert_fails_with(self.configure(), "src/extra is not in cmake/layers.txt")


class CompilerTest(ScratchTest):
    def test_gcc_that_miscompiles_coroutines_is_refused_with_the_reason(self):
        if not shutil.which("g++"):
            self.skipTest("no g++ here")
        major = run("g++", "-dumpversion").stdout.split(".")[0]
        if int(major) >= 14:
            self.skipTest(f"g++ {major} is new enough")
        done = run("cmake", "-G", "Ninja", "-S", ROOT, "-B", self.scratch / "build",
                   "-DCMAKE_C_COMPILER=clang-19", "-DCMAKE_CXX_COMPILER=g++")
        self.assert_fails_with(done, "cannot build Ashlar", "miscompiles", "coroutine",
                               "Use clang 19")


if __name__ == "__main__":
    unittest.main()
