#include "engine/space_guard.h"

namespace ashlar::engine {

Task<Result<>> SpaceGuard::refresh() {
  const bool recent =
      known_ && clock_.now() < asked_ + kShortest && !is_stale() && taken_ == ByteCount();
  if (asking_ || recent) co_return Result<>();
  asking_ = true;
  // What is taken meanwhile may be in the answer or not.
  const ByteCount taken = taken_;
  const Result<FileSystemSpace> space = co_await files_.space(directory_);
  asking_ = false;
  if (!space.ok()) co_return space.error().with_context("free space of the store");
  free_ = space->available;
  taken_ -= taken;
  promised_then_ = promised_;
  asked_ = clock_.now();
  known_ = true;
  co_return Result<>();
}

}  // namespace ashlar::engine
