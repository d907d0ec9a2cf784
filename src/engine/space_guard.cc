#include "engine/space_guard.h"

namespace ashlar::engine {

Task<Result<>> SpaceGuard::refresh() {
  const bool recent = known_ && clock_.now() < asked_ + kShortest && !is_stale();
  if (asking_ || recent) co_return Result<>();
  asking_ = true;
  const Result<FileSystemSpace> space = co_await files_.space(directory_);
  asking_ = false;
  if (!space.ok()) co_return space.error().with_context("free space of the store");
  free_ = space->available;
  promised_then_ = promised_;
  asked_ = clock_.now();
  known_ = true;
  co_return Result<>();
}

}  // namespace ashlar::engine
