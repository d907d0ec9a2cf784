import unittest

from house import ROOT, ScratchTest, run, with_path

# Says that every package it is asked about is installed, except those named in place of ABSENT.
DPKG_QUERY = """\
#!/usr/bin/env bash
for word in "$@"; do
  case $word in -* | *' '*) ;; ABSENT) ;; *) echo "$word installed" ;; esac
done
"""


class SetupTest(ScratchTest):
    def check(self, absent: str):
        fake = self.write("bin/dpkg-query", DPKG_QUERY.replace("ABSENT", absent))
        fake.chmod(0o755)
        return run(ROOT / "scripts/setup", "--check", env=with_path(fake.parent))

    def test_this_machine_has_every_package(self):
        self.assert_passes(run(ROOT / "scripts/setup", "--check"))

    def test_check_succeeds_when_every_package_is_there(self):
        self.assert_passes(self.check("none"))

    def test_check_names_what_is_missing(self):
        done = self.check("liburing-dev|cmake")
        self.assert_fails_with(done, "missing 2 of")
        self.assertEqual(set(done.stdout.split("packages: ")[1].split()), {"cmake", "liburing-dev"})


if __name__ == "__main__":
    unittest.main()
