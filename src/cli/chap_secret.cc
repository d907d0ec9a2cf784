#include "cli/chap_secret.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace ashlar::cli {
namespace {

constexpr std::size_t kLongestSecret = 4096;

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin) (void)std::fclose(file);
  }
};

}  // namespace

Result<Secret> read_chap_secret(const std::string& file, const char* variable) {
  if (file.empty()) {
    const char* value = std::getenv(variable);
    return Secret(value == nullptr ? "" : value);
  }
  const std::unique_ptr<std::FILE, CloseFile> in(file == "-" ? stdin
                                                             : std::fopen(file.c_str(), "re"));
  if (in == nullptr) return Error::from_errno(errno, "opening " + file);
  std::string text(kLongestSecret, '\0');
  const std::size_t length = std::fread(text.data(), 1, text.size(), in.get());
  if (std::ferror(in.get()) != 0) return Error::from_errno(errno, "reading " + file);
  if (length == kLongestSecret) return Error::invalid_argument("{} is too long for a secret", file);
  text.resize(length);
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty()) return Error::invalid_argument("{} is empty: it has no secret", file);
  return Secret::take(text);
}

}  // namespace ashlar::cli
