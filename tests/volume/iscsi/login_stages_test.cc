// L95: there is no way into full feature phase around a required CHAP. Every sequence of up to five
// requests over an alphabet of stages, transit and continue bits and sets of keys is tried; a
// sequence whose login has ended is not lengthened, since nothing may be fed after it.
#include <gtest/gtest.h>

#include "tests/volume/iscsi/login_lab.h"

namespace ashlar::iscsi {
namespace {

enum class Keys : std::uint8_t {
  kNone,
  kNames,
  kNamesAndChap,
  kNamesAndNone,
  kChap,
  kNoMethod,
  kAlgorithms,
  kRight,      // the response that this login's challenge wants
  kHeard,      // the response of another login
  kReflected,  // asks the target for the response, with its own challenge
  kOperational,
};
constexpr std::array kKeySets = {Keys::kNone,         Keys::kNames,      Keys::kNamesAndChap,
                                 Keys::kNamesAndNone, Keys::kChap,       Keys::kNoMethod,
                                 Keys::kAlgorithms,   Keys::kRight,      Keys::kHeard,
                                 Keys::kReflected,    Keys::kOperational};

struct Symbol {
  std::uint8_t flags = 0;
  Keys keys = Keys::kNone;
};

std::vector<Symbol> alphabet() {
  std::vector<Symbol> symbols;
  for (unsigned stage = 0; stage < 4; ++stage) {
    for (const Keys keys : kKeySets) {
      // Stages that no login is ever in are refused before anybody looks at the keys.
      if (stage > 1 && keys != Keys::kNone && keys != Keys::kRight) continue;
      const auto add = [&](unsigned bits) {
        symbols.push_back({static_cast<std::uint8_t>(stage << 2 | bits), keys});
      };
      add(0);
      add(kFlagContinue);
      for (unsigned next = 0; next < 4; ++next) {
        add(kFlagTransit | next);
        if (keys == Keys::kNone) add(kFlagTransit | kFlagContinue | next);
      }
    }
  }
  return symbols;
}

// A sanitizer makes each step ten times as long.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int kLongestSequence = 4;
#else
constexpr int kLongestSequence = 5;
#endif
#else
constexpr int kLongestSequence = 5;
#endif

class Explorer {
 public:
  explicit Explorer(bool requires_chap) : symbols_(alphabet()) {
    if (requires_chap) policy_.require_chap();
    policy_.offer_proof();
    // What an eavesdropper has heard of another login with the same identifiers.
    TestPolicy other;
    other.require_chap();
    LoginLab lab(other, 99);
    lab.send(Stage::kSecurity, std::nullopt, names_text() + text_with("AuthMethod=CHAP;"));
    lab.send(Stage::kSecurity, std::nullopt, text_with("CHAP_A=5;"));
    heard_ = chap_answer(lab);
  }

  void explore(int depth) {
    std::vector<std::size_t> path;
    extend(path, depth);
  }

  std::uint64_t sequences = 0;
  std::uint64_t sessions = 0;
  std::uint64_t without_proof = 0;
  std::string example;

 private:
  std::string text_of(Keys keys, const LoginLab& lab) const {
    switch (keys) {
      case Keys::kNone:
        return "";
      case Keys::kNames:
        return names_text();
      case Keys::kNamesAndChap:
        return names_text() + text_with("AuthMethod=CHAP,None;");
      case Keys::kNamesAndNone:
        return names_text() + text_with("AuthMethod=None;");
      case Keys::kChap:
        return text_with("AuthMethod=CHAP,None;");
      case Keys::kNoMethod:
        return text_with("AuthMethod=None;");
      case Keys::kAlgorithms:
        return text_with("CHAP_A=5;");
      case Keys::kRight:
        return chap_answer(lab);
      case Keys::kHeard:
        return heard_;
      case Keys::kReflected:
        return heard_ + "CHAP_I=" + lab.reply("CHAP_I") + '\0' + "CHAP_C=" + lab.reply("CHAP_C") +
               '\0';
      case Keys::kOperational:
        return text_with("InitialR2T=Yes;");
    }
    return "";
  }

  // Replays the sequence on a new machine: the steps before the last are known to go on.
  void extend(std::vector<std::size_t>& path, int depth) {
    if (depth == 0) return;
    path.push_back(0);
    for (std::size_t i = 0; i < symbols_.size(); ++i) {
      path.back() = i;
      ++sequences;
      LoginLab lab(policy_, 7);
      LoginStep step;
      bool has_proven = false;
      for (const std::size_t at : path) {
        const Symbol& symbol = symbols_[at];
        LoginRequestPdu request = login_request(Stage::kSecurity);
        request.flags = symbol.flags;
        const std::string text = text_of(symbol.keys, lab);
        has_proven = has_proven || (symbol.keys == Keys::kRight && !text.empty());
        step = lab.feed(request, text);
      }
      if (step.kind == LoginStep::Kind::kContinue) extend(path, depth - 1);
      if (step.kind != LoginStep::Kind::kDone) continue;
      ++sessions;
      if (has_proven && lab.machine.result().chap_name == "host1") continue;
      ++without_proof;
      if (example.empty()) {
        for (const std::size_t at : path) {
          example +=
              fmt::format(" {:02x}/{}", symbols_[at].flags, static_cast<int>(symbols_[at].keys));
        }
      }
    }
    path.pop_back();
  }

  std::vector<Symbol> symbols_;
  TestPolicy policy_;
  std::string heard_;
};

TEST(LoginStagesTest, NoSequenceOfFiveRequestsGetsInWithoutProof) {
  Explorer explorer(true);
  explorer.explore(kLongestSequence);
  EXPECT_EQ(explorer.without_proof, 0u) << "flags/keys:" << explorer.example;
  EXPECT_GT(explorer.sessions, 0u);
  EXPECT_GT(explorer.sequences, 100'000u);
  RecordProperty("sequences", static_cast<int>(explorer.sequences));
  RecordProperty("sessions", static_cast<int>(explorer.sessions));
}

// The same alphabet without the requirement: the explorer does see sessions that need no proof.
TEST(LoginStagesTest, WithoutARequirementTheSameSequencesGetIn) {
  Explorer explorer(false);
  explorer.explore(3);
  EXPECT_GT(explorer.without_proof, 10u);
}

}  // namespace
}  // namespace ashlar::iscsi
