#include "volume/scsi/parameter_list.h"

#include <utility>

namespace ashlar::scsi {

Task<ParameterList> fetch_parameter_list(CommandContext& context, std::uint64_t length) {
  ParameterList list;
  if (length == 0) co_return list;
  if (length > context.command.data_out->expected()) {
    list.refused = wanting(illegal_request(asc::kParameterListLengthError), length);
    co_return list;
  }
  Result<Buffer> fetched = co_await context.fetch(length);
  if (fetched.ok()) {
    list.buffer = std::move(*fetched);
  } else {
    list.refused = wanting(response_to(fetched.error(), Doing::kFetching), length);
  }
  co_return list;
}

}  // namespace ashlar::scsi
