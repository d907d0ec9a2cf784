// Secret: a password, token or CHAP secret that cannot end up in a log by accident.
//
// It has no formatter, no operator<< and no conversion; the one way to the text is reveal(), which
// is easy to find in a review. Comparison takes the same time wherever two texts of one length
// differ, so that an answer's delay does not tell a guesser how much was right. The memory is wiped
// when the secret dies; it is never inside the object itself, so moving leaves no copy behind.
//
// What cannot be helped: text that came in as a std::string has its own memory. Secret::take wipes
// that too; use it for what was read from a file or the environment.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ashlar {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text)
      : text_(text.empty() ? nullptr : std::make_unique_for_overwrite<char[]>(text.size())),
        size_(text.size()) {
    if (size_ != 0) std::memcpy(text_.get(), text.data(), size_);
  }
  // Wipes and empties `source`.
  static Secret take(std::string& source) {
    Secret secret{std::string_view(source)};
    ::explicit_bzero(source.data(), source.size());
    source.clear();
    return secret;
  }

  Secret(const Secret& other) : Secret(other.reveal()) {}
  Secret(Secret&& other) noexcept
      : text_(std::move(other.text_)), size_(std::exchange(other.size_, 0)) {}
  Secret& operator=(Secret other) noexcept {
    std::swap(text_, other.text_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Secret() {
    if (text_ != nullptr) ::explicit_bzero(text_.get(), size_);
  }

  // Lives as long as the secret. Never hand it to anything that stores or prints.
  std::string_view reveal() const { return {text_.get(), size_}; }
  bool empty() const { return size_ == 0; }

  friend bool operator==(const Secret& a, const Secret& b) { return a.equals(b.reveal()); }

  // Against text that came from outside, such as a token in a request.
  bool equals(std::string_view guess) const {
    if (guess.size() != size_) return false;
    // Volatile, lest the compiler leave the loop at the first difference.
    volatile unsigned char difference = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      difference = static_cast<unsigned char>(difference | (text_[i] ^ guess[i]));
    }
    return difference == 0;
  }

 private:
  std::unique_ptr<char[]> text_;
  std::size_t size_ = 0;
};

}  // namespace ashlar
