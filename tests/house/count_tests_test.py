import unittest

from house import ROOT, ScratchTest, run

PASSED = '<testcase name="A.Passes" classname="A" time="0.1" status="run">\n</testcase>\n'
FAILED = ('<testcase name="A.Fails" classname="A" time="2" status="fail">\n'
          '  <failure message=""/>\n'
          '  <system-out>&lt;testcase status="run"&gt;</system-out>\n</testcase>\n')
SKIPPED = ('<testcase name="A.Skips" classname="A" time="0" status="notrun">\n'
           '  <skipped message="SKIP_RETURN_CODE=77"/>\n</testcase>\n')
MISSING = ('<testcase name="A.Missing" classname="A" time="0" status="notrun">\n'
           '  <skipped message="Unable to find executable"/>\n</testcase>\n')


class CountTestsTest(ScratchTest):
    def count(self, *cases: str, ctest_status: int = 0):
        report = self.write("tests.xml", f"<testsuite>\n{''.join(cases)}</testsuite>\n")
        return run(ROOT / "scripts/checks/count_tests.py", "--ctest-status", ctest_status, report)

    def assert_last_line(self, done, line: str) -> None:
        self.assertEqual(done.stdout.splitlines()[-1], line)

    def test_all_passed(self):
        done = self.count(PASSED, PASSED)
        self.assert_passes(done)
        self.assert_last_line(done, "2 passed, 0 failed")

    def test_failure_is_named_and_counted(self):
        done = self.count(PASSED, FAILED, ctest_status=8)
        self.assert_fails_with(done, "FAILED A.Fails")
        self.assert_last_line(done, "1 passed, 1 failed")

    def test_program_that_is_missing_counts_as_failed(self):
        done = self.count(PASSED, MISSING, ctest_status=8)
        self.assert_fails_with(done, "FAILED A.Missing")
        self.assert_last_line(done, "1 passed, 1 failed")

    def test_skipped_test_counts_as_neither(self):
        done = self.count(PASSED, SKIPPED)
        self.assert_passes(done)
        self.assertIn("skipped A.Skips", done.stdout)
        self.assert_last_line(done, "1 passed, 0 failed")

    def test_run_without_a_passing_test_fails(self):
        for cases in ((), (SKIPPED,)):
            done = self.count(*cases)
            self.assert_fails_with(done, "no test ran")
            self.assert_last_line(done, "0 passed, 0 failed")

    def test_ctest_that_fails_on_its_own_is_a_failure(self):
        done = self.count(PASSED, ctest_status=8)
        self.assert_fails_with(done, "FAILED ctest itself")
        self.assert_last_line(done, "1 passed, 1 failed")


if __name__ == "__main__":
    unittest.main()
