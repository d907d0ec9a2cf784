// The parameter list of a command: the data that comes with it and says what is wanted.
#pragma once

#include <optional>

#include "common/base/buffer.h"
#include "common/runtime/task.h"
#include "volume/scsi/command_context.h"

namespace ashlar::scsi {

struct ParameterList {
  Buffer buffer;
  // Why there is none.
  std::optional<Response> refused;

  ByteSpan bytes() const { return buffer.bytes(); }
};

// All of it. What the initiator does not have to give is a PARAMETER LIST LENGTH ERROR. No length
// is an empty list.
Task<ParameterList> fetch_parameter_list(CommandContext& context, std::uint64_t length);

// The same answer, saying how much data was wanted.
inline Response wanting(Response response, std::uint64_t data_out) {
  response.data_out_wanted = data_out;
  return response;
}

}  // namespace ashlar::scsi
