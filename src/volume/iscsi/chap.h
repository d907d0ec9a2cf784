// ChapAcceptor: the target's side of CHAP in the security stage of a login (RFC 7143, 12.1.3):
//
//   initiator                              target
//   CHAP_A=8,7,6,5                    →
//                                     ←    CHAP_A=8  CHAP_I=identifier  CHAP_C=challenge
//   CHAP_N=name  CHAP_R=response      →
//   (CHAP_I, CHAP_C: prove it too)    ←    (CHAP_N, CHAP_R)
//
// The first algorithm of the initiator's list that we know is taken. A challenge is used once and
// is made anew for each login; a login has one try. Refused are: a wrong name, a response of the
// wrong length or value, our own challenge sent back (9.2.1), a demand for proof when there is no
// secret for it or when it is the initiator's secret. Our proof is given only to who has proven.
//
// Names are text and never decoded: "0x41" is a name of four letters.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/random.h"
#include "common/base/result.h"
#include "volume/core/volume_settings.h"
#include "volume/iscsi/chap_hash.h"
#include "volume/iscsi/text.h"

namespace ashlar::iscsi {

inline constexpr std::size_t kShortestChapSecret = 12;      // 9.2.1: 96 bits
inline constexpr std::size_t kLongestChapChallenge = 1024;  // 12.1.3

// The CHAP keys of one request.
struct ChapKeys {
  std::optional<std::string_view> algorithms;  // CHAP_A
  std::optional<std::string_view> identifier;  // CHAP_I
  std::optional<std::string_view> challenge;   // CHAP_C
  std::optional<std::string_view> name;        // CHAP_N
  std::optional<std::string_view> response;    // CHAP_R

  bool empty() const { return !algorithms && !identifier && !challenge && !name && !response; }
};

class ChapAcceptor {
 public:
  // `initiator` is what it must know, `target` what we can prove. `random` outlives the acceptor;
  // what it gives passes through a hash, so that challenges do not tell its state.
  ChapAcceptor(volume::ChapCredentials initiator, std::optional<volume::ChapCredentials> target,
               Random& random);

  // Takes the keys of one request and writes the answer. No keys: nothing changes.
  // kUnauthenticated when the proof is refused, kInvalidArgument when the keys do not belong at
  // this point; either way the login has failed.
  Result<> step(const ChapKeys& keys, TextWriter& reply);

  bool is_verified() const { return state_ == State::kVerified; }
  std::string_view name() const { return initiator_.name; }

 private:
  enum class State : std::uint8_t { kAwaitAlgorithms, kAwaitResponse, kVerified, kFailed };

  Result<> take_algorithms(const ChapKeys& keys, TextWriter& reply);
  Result<> take_response(const ChapKeys& keys, TextWriter& reply);
  Result<> prove(std::uint8_t identifier, ByteSpan challenge, TextWriter& reply) const;
  Result<> make_challenge();

  volume::ChapCredentials initiator_;
  std::optional<volume::ChapCredentials> target_;
  Random& random_;
  State state_ = State::kAwaitAlgorithms;
  ChapAlgorithm algorithm_ = ChapAlgorithm::kMd5;
  std::uint8_t identifier_ = 0;
  std::vector<std::byte> challenge_;
};

}  // namespace ashlar::iscsi
