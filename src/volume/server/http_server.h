// HttpServer: what monitoring asks over HTTP, on threads of its own.
//
//   /metrics   Prometheus' text format
//   /healthz   200 when the process is alive and its reactors turn, else 503 with the reason:
//   restart /readyz    200 when the stores are recovered and the portals listen, else 503
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace ashlar::server {

class HttpServer {
 public:
  // Called on its threads; each answers within a second or so.
  struct Answers {
    std::function<std::string()> metrics;
    std::function<Result<>()> health;
    std::function<Result<>()> readiness;
  };
  static Result<std::unique_ptr<HttpServer>> start(const Endpoint& listen, Answers answers);
  ~HttpServer();

  Endpoint endpoint() const;
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::server
