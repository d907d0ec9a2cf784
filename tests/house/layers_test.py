import re
import unittest

from house import ROOT, ScratchTest, run


class LayersTest(ScratchTest):
    def setUp(self):
        super().setUp()
        rule = (ROOT / "cmake/layers.txt").read_text()
        # Without the exceptions of our tree, which are for files that are not in this one.
        self.write("cmake/layers.txt", re.sub(r"^allow .*\n", "", rule, flags=re.M))
        self.write("src/common/base/result.h", "#pragma once\n")

    def check(self):
        return run(ROOT / "scripts/checks/layers.py", "--root", self.scratch)

    def allow(self, line: str) -> None:
        with open(self.scratch / "cmake/layers.txt", "a") as layers:
            layers.write(line + "\n")

    def test_our_tree_passes(self):
        self.assert_passes(run(ROOT / "scripts/checks/layers.py", "--root", ROOT))

    def test_table_in_the_readme_says_what_layers_txt_says(self):
        rule = re.findall(r"^([a-z/]+) *:(.*)$", (ROOT / "cmake/layers.txt").read_text(), re.M)
        table = re.findall(r"^\| `([a-z/]+)` \|.*\|(.*)\|$",
                           (ROOT / "src/README.md").read_text(), re.M)
        self.assertEqual({folder: allowed.split() for folder, allowed in rule},
                         {folder: re.findall(r"[a-z/]+", allowed) for folder, allowed in table})

    def test_include_of_a_higher_layer_is_refused(self):
        self.write("src/volume/planted.h", "#pragma once\n")
        self.write("src/engine/planted.cc", '// one\n#include "volume/planted.h"\n')
        self.assert_fails_with(
            self.check(),
            'src/engine/planted.cc:2: [layer] src/engine may not include "volume/planted.h"')

    def test_include_between_neighbours_is_refused(self):
        self.write("src/common/runtime/uring/planted.h", "#pragma once\n")
        self.write("src/common/runtime/planted.cc", '#include "common/runtime/uring/planted.h"\n')
        self.assert_fails_with(self.check(), "src/common/runtime/planted.cc:1: [layer]")

    def test_include_of_an_allowed_layer_passes(self):
        self.write("src/engine/planted.cc", '#include "common/base/result.h"\n')
        self.assert_passes(self.check())

    def test_include_beside_the_file_without_its_folder_is_refused(self):
        self.write("src/common/base/planted.cc", '#include "result.h"\n')
        self.assert_fails_with(self.check(), "src/common/base/planted.cc:1: [rooted]")

    def test_include_of_ours_in_angle_brackets_is_refused(self):
        self.write("src/common/base/planted.cc", "#include <common/base/result.h>\n")
        self.assert_fails_with(self.check(), "src/common/base/planted.cc:1: [rooted]")

    def test_system_header_in_a_pure_folder_is_refused(self):
        for header in ("unistd.h", "sys/socket.h", "liburing.h", "mutex", "grpcpp/grpcpp.h",
                       "google/protobuf/message.h", "spdlog/spdlog.h", "iostream"):
            with self.subTest(header):
                self.write("src/engine/planted.cc", f"#include <vector>\n#include <{header}>\n")
                self.assert_fails_with(
                    self.check(), "src/engine/planted.cc:2: [pure] src/engine is pure: "
                    f"it may not include <{header}>")

    def test_system_header_outside_pure_folders_passes(self):
        self.write("src/common/runtime/uring/planted.cc", "#include <unistd.h>\n")
        self.assert_passes(self.check())

    def test_clock_chance_and_environment_in_a_pure_folder_are_refused(self):
        for call in ("std::chrono::steady_clock::now()", "std::random_device{}()", "rand()",
                     "Random::from_os()", "std::time(nullptr)", 'getenv("HOME")',
                     "absl::flat_hash_map<int, int>{}"):
            with self.subTest(call):
                self.write("src/engine/planted.cc", f"auto f() {{\n  return {call};\n}}\n")
                self.assert_fails_with(self.check(), "src/engine/planted.cc:2: [pure]")

    def test_words_in_comments_strings_and_longer_names_pass(self):
        self.write("src/engine/planted.cc", """\
            // rand() and #include <mutex> and std::chrono::system_clock::now()
            /*
            #include <mutex>
            */
            const char* text = "getenv(x) rand() // " "std::time(0)";
            int brand(int); int n = brand(1'000); auto t = clock.time(0);
            """)
        self.assert_passes(self.check())

    def test_exception_with_a_reason_lets_one_header_into_one_file(self):
        self.write("src/engine/planted.cc", "#include <sys/uio.h>\n")
        self.allow("allow src/engine/planted.cc <sys/uio.h> iovec is only a pair of numbers here")
        self.assert_passes(self.check())
        self.write("src/engine/other.cc", "#include <sys/uio.h>\n")
        self.assert_fails_with(self.check(), "src/engine/other.cc:1: [pure]")

    def test_exception_that_nobody_needs_or_explains_is_refused(self):
        self.allow("allow src/engine/gone.cc <sys/uio.h> iovec is only a pair of numbers here")
        self.assert_fails_with(self.check(), "[config] src/engine/gone.cc needs no exception")
        self.allow("allow src/engine/gone.cc <sys/uio.h>")
        self.assert_fails_with(self.check(), "[config] expected: allow FILE HEADER reason")

    def test_file_outside_every_layer_is_refused(self):
        self.write("src/extra/planted.cc", "\n")
        self.assert_fails_with(self.check(), "src/extra/planted.cc:1: [layer] no folder")

    def test_generated_messages_pass_at_the_edges_only(self):
        self.write("proto/ashlar/v1/planted.proto", "\n")
        for header in ("ashlar/v1/planted.pb.h", "ashlar/v1/planted.grpc.pb.h"):
            with self.subTest(header):
                self.write("src/engine/planted.cc", "\n")
                for edge in ("volume/server", "cli"):
                    self.write(f"src/{edge}/planted.cc", f'#include "{header}"\n')
                self.assert_passes(self.check())
                for folder in ("engine", "volume/iscsi"):
                    self.write(f"src/{folder}/planted.cc", f'#include "{header}"\n')
                    self.assert_fails_with(
                        self.check(), f'src/{folder}/planted.cc:1: [layer] src/{folder} may not '
                        f'include "{header}" of proto')
                    self.write(f"src/{folder}/planted.cc", "\n")

    def test_generated_messages_without_their_source_are_refused(self):
        self.write("src/cli/planted.cc", '#include "ashlar/v1/planted.pb.h"\n')
        self.assert_fails_with(self.check(), "src/cli/planted.cc:1: [rooted]")
        self.write("proto/ashlar/v1/planted.proto", "\n")
        self.assert_passes(self.check())
        self.write("src/cli/planted.cc", "#include <ashlar/v1/planted.pb.h>\n")
        self.assert_fails_with(self.check(), "src/cli/planted.cc:1: [rooted]")

    def test_circle_of_layers_is_refused(self):
        self.allow("common/extra : engine common/other")
        self.allow("common/other : common/extra")
        self.assert_fails_with(self.check(), "[config] common/extra may include itself")


if __name__ == "__main__":
    unittest.main()
