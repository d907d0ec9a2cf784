// The commands of `ashlar`: each calls the server and prints the answer on standard output.
#pragma once

#include "cli/arguments.h"
#include "common/base/result.h"

namespace ashlar::cli {

using Command = Result<> (*)(const Arguments&);

Result<> create_volume(const Arguments& arguments);
Result<> clone_volume(const Arguments& arguments);
Result<> get_volume(const Arguments& arguments);
Result<> list_volumes(const Arguments& arguments);
Result<> resize_volume(const Arguments& arguments);
Result<> set_volume(const Arguments& arguments);
Result<> delete_volumes(const Arguments& arguments);
Result<> create_snapshot(const Arguments& arguments);
Result<> list_snapshots(const Arguments& arguments);
Result<> delete_snapshot(const Arguments& arguments);
Result<> revert_volume(const Arguments& arguments);
Result<> show_status(const Arguments& arguments);
Result<> list_sessions(const Arguments& arguments);

// Exit codes, which scripts rely on; docs/ashlar.md has the table.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kNotFound = 3;
inline constexpr int kAlreadyExists = 4;
inline constexpr int kForbiddenByState = 5;
inline constexpr int kUnreachable = 6;
int exit_code_of(const Error& error);

}  // namespace ashlar::cli
