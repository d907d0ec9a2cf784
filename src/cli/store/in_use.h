// Whether a server has the store open: it holds an exclusive lock on DIR/owner as long as it does.
//
// A lock can only be asked for by trying it: a shared one is taken and let go at once. A server
// that opens the store in those few microseconds is refused, as if it were open elsewhere, and has
// to be started again.
#pragma once

#include <string>

#include "common/base/result.h"

namespace ashlar::store_tool {

// False also when there is no owner file.
Result<bool> is_in_use(const std::string& directory);

}  // namespace ashlar::store_tool
