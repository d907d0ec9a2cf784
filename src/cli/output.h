// How answers look: aligned tables for people, JSON for scripts. JSON has the names of the fields
// of proto/ashlar/v1, and sizes as numbers of bytes.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "ashlar/v1/server.pb.h"
#include "ashlar/v1/volumes.pb.h"

namespace ashlar::cli {

using Row = std::vector<std::string>;
// The first row is the heading. No spaces at the ends of lines.
std::string table(const std::vector<Row>& rows);
// One thing: names on the left.
std::string properties(const std::vector<Row>& rows);

nlohmann::json to_json(const v1::Volume& volume);
nlohmann::json to_json(const v1::Snapshot& snapshot);
nlohmann::json to_json(const v1::Session& session);
nlohmann::json to_json(const v1::GetStatusResponse& status);

std::string describe(const v1::Volume& volume);
std::string describe(const v1::GetStatusResponse& status);
std::string table(const std::vector<v1::Volume>& volumes);
std::string table(const std::vector<v1::Snapshot>& snapshots);
std::string table(const std::vector<v1::Session>& sessions);

}  // namespace ashlar::cli
