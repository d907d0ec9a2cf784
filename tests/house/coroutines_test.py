import unittest

from house import ROOT, ScratchTest, run


class CoroutinesTest(ScratchTest):
    def check(self, body: str, folder: str = "src/engine"):
        self.write(f"{folder}/planted.cc", body)
        return run(ROOT / "scripts/checks/coroutines.py", "--root", self.scratch)

    def test_our_tree_passes(self):
        self.assert_passes(run(ROOT / "scripts/checks/coroutines.py", "--root", ROOT))

    def test_await_in_an_operand_of_the_conditional_operator_is_refused(self):
        for expression in ("flag ? co_await f() : 0", "co_await f() ? 1 : 2",
                           "flag ? 0 : g(1, co_await f())"):
            with self.subTest(expression):
                done = self.check(
                    f"Task<int> t() {{\n  int n = {expression};\n  co_return n;\n}}\n")
                self.assert_fails_with(done, "src/engine/planted.cc:2: [conditional-await]")

    def test_conditional_operator_beside_an_await_passes(self):
        self.assert_passes(self.check("""\
            Task<int> t() {
              co_await f(flag ? 1 : 2);
              if (flag) { co_await f(); }
              int n = flag ? 1 : 2; co_await f();
              co_await f({co_await f()}, std::string("?"));
              co_return n;
            }
            """))

    def test_await_in_a_statement_expression_is_refused(self):
        done = self.check("Task<int> t() {\n  int n = ({ auto r = co_await f(); r; });\n}\n")
        self.assert_fails_with(done, "src/engine/planted.cc:2: [statement-expression]")

    def test_thread_local_beside_coroutines_is_refused_outside_the_runtime(self):
        body = "thread_local int n;\nTask<> t() { co_return; }\n"
        self.assert_fails_with(self.check(body), "src/engine/planted.cc:1: [thread-local]")
        (self.scratch / "src/engine/planted.cc").unlink()
        self.assert_passes(self.check(body, "src/common/runtime"))

    def test_thread_local_without_coroutines_passes(self):
        self.assert_passes(self.check("thread_local int n;  // no co_await here\n"))

    def test_over_aligned_local_of_a_coroutine_is_refused(self):
        done = self.check(
            "Task<> t() {\n  alignas(4096) char page[4096];\n  co_await f(page);\n}\n")
        self.assert_fails_with(done, "src/engine/planted.cc:2: [aligned-local]")

    def test_alignment_of_types_statics_and_plain_functions_passes(self):
        self.assert_passes(self.check("""\
            struct alignas(64) Line { alignas(64) int n; };
            namespace { alignas(4096) char zeros[4096]; }
            void plain() { alignas(64) int n; }
            Task<> t() { static alignas(64) int n; alignas(16) int m; co_await f(); }
            """))


if __name__ == "__main__":
    unittest.main()
