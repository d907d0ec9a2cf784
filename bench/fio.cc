#include "bench/fio.h"

#include <array>
#include <cstdio>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "common/base/check.h"

namespace ashlar::bench {

double run_fio(const FioJob& job) {
  const std::string command = fmt::format(
      "fio --name=peer --filename={} --filesize={} --rw={} --norandommap --bs={} --direct=1 {} "
      "--ioengine=io_uring --iodepth={} --thread --cpus_allowed={} --time_based --runtime={}ms "
      "--output-format=json",
      job.path, job.size, job.pattern, job.block, job.dsync ? "--sync=dsync" : "", job.depth,
      job.cpu, job.duration.count());
  std::FILE* pipe = ::popen(command.c_str(), "r");
  ASHLAR_CHECK(pipe != nullptr);
  std::string output;
  std::array<char, 4096> chunk;
  while (const std::size_t count = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
    output.append(chunk.data(), count);
  }
  const int status = ::pclose(pipe);
  ASHLAR_CHECK(status == 0, "fio failed ({}): {}", status, output);
  const nlohmann::json result = nlohmann::json::parse(output)["jobs"][0];
  return result["read"]["iops"].get<double>() + result["write"]["iops"].get<double>();
}

}  // namespace ashlar::bench
