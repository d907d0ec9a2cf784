import json
import unittest

from house import ROOT, ScratchTest, run

# A coroutine that clang-tidy and the compiler take; LAMBDA is what a test plants.
COROUTINE = """\
#include <coroutine>

namespace planted {

struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};

Task nothing(int n) {
  auto child = LAMBDA;
  return child(n);
}

}  // namespace planted
"""


class FormatTest(ScratchTest):
    def setUp(self):
        super().setUp()
        self.copy("scripts", ".clang-format")
        for folder in ("src", "tests", "bench"):
            (self.scratch / folder).mkdir()

    def check(self):
        return run(self.scratch / "scripts/check", "--only", "format")

    def test_file_that_clang_format_would_change_is_refused(self):
        self.write("src/engine/planted.cc", "int  f( );\n")
        self.assert_fails_with(self.check(), "src/engine/planted.cc:1:", "check format: FAILED")

    def test_formatted_file_passes(self):
        self.write("src/engine/planted.cc", "int f();\n")
        self.assert_passes(self.check())


class SyntaxTest(ScratchTest):
    def setUp(self):
        super().setUp()
        self.copy("scripts", ".ci")
        for folder in ("tests", "bench", "deploy"):
            (self.scratch / folder).mkdir()

    def check(self):
        return run(self.scratch / "scripts/check", "--only", "syntax")

    def test_our_scripts_pass(self):
        self.assert_passes(self.check())

    def test_shell_script_that_does_not_parse_is_refused(self):
        self.write("scripts/planted", "#!/usr/bin/env bash\nif true; then\n")
        self.assert_fails_with(self.check(), "scripts/planted: line 3", "check syntax: FAILED")

    def test_python_script_that_does_not_parse_is_refused(self):
        self.write("scripts/planted.py", "ok = 1\ndef broken(:\n")
        self.assert_fails_with(self.check(), "scripts/planted.py:2:", "check syntax: FAILED")


class TidyTest(ScratchTest):
    def setUp(self):
        super().setUp()
        self.copy(".clang-tidy")

    def tidy(self, text: str, *options: str):
        planted = self.write("src/engine/planted.cc", text)
        self.write("build/compile_commands.json", json.dumps([{
            "directory": str(self.scratch),
            "command": f"clang++-19 -std=c++20 -o planted.o -c {planted}",
            "file": str(planted)}]))
        return run(ROOT / "scripts/checks/tidy.py", "--root", self.scratch,
                   "--build", self.scratch / "build", *(options or ("--all",)))

    def git(self, *words: str) -> None:
        author = ("-c", "user.name=t", "-c", "user.email=t@t")
        self.assert_passes(run("git", "-C", self.scratch, *author, *words))

    def test_lambda_coroutine_with_captures_is_an_error(self):
        done = self.tidy(COROUTINE.replace("LAMBDA", "[n](int) -> Task { co_return; }"))
        self.assert_fails_with(done, "src/engine/planted.cc:16:16: error:",
                               "cppcoreguidelines-avoid-capturing-lambda-coroutines")

    def test_lambda_coroutine_without_captures_passes(self):
        self.assert_passes(self.tidy(COROUTINE.replace("LAMBDA", "[](int) -> Task { co_return; }")))

    def test_lock_held_over_an_await_is_an_error(self):
        for lock in ("std::lock_guard<std::mutex>", "std::scoped_lock<std::mutex>",
                     "std::unique_lock<std::mutex>"):
            with self.subTest(lock):
                text = COROUTINE.replace("int n", "std::mutex& m").replace("child(n)", "child(m)")
                planted = "[](std::mutex& m) -> Task { LOCK l(m); co_await std::suspend_never(); }"
                done = self.tidy("#include <mutex>\n" + text.replace(
                    "LAMBDA", planted.replace("LOCK", lock)))
                self.assert_fails_with(done, "src/engine/planted.cc:17:",
                                       "misc-coroutine-hostile-raii")

    def test_name_against_our_style_is_an_error(self):
        self.assert_fails_with(self.tidy("int camelCase();\n"), "src/engine/planted.cc:1:5: error:",
                               "readability-identifier-naming")

    def test_only_what_changed_is_read_and_a_header_through_a_file_that_includes_it(self):
        self.git("init", "-q")
        self.write(".gitignore", "/build/\n")
        self.write("src/engine/planted.h", "int wrongName();\n")
        text = '#include "planted.h"\n'
        done = self.tidy(text, "--base", "HEAD")
        self.assert_fails_with(done, "no commit in common with 'HEAD'")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "one")
        self.assert_fails_with(self.tidy(text), "1 files read, 1 with findings")
        # The first commit has nothing to compare with: every file counts as changed.
        self.git("commit", "-q", "-m", "two", "--allow-empty")
        self.assertIn("0 files read", self.tidy(text, "--base", "HEAD~1").stdout)
        self.write("src/engine/planted.h", "int wrongName(int);\n")
        done = self.tidy(text, "--base", "HEAD~1")
        self.assert_fails_with(done, "src/engine/planted.h:1:5: error:", "1 files read")


if __name__ == "__main__":
    unittest.main()
