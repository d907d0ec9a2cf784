// The bounds of the store's log, in one place. They are part of the disk format: a reader refuses
// what exceeds them. docs/formats/log.md has the picture.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/strong.h"

namespace ashlar::engine {

// The unit of everything on disk; one checksum each.
inline constexpr std::size_t kBlockSize = 4096;

// The log file's size is a multiple of the first. Production stores have at least the second.
inline constexpr ByteCount kLogCapacityUnit{1 << 20};
inline constexpr ByteCount kSmallestLogCapacity{64 << 20};

inline constexpr std::size_t kLargestBatch = 8 << 20;
inline constexpr std::size_t kLargestRecordPayload = 4 << 20;
// Of the persistent reservations of a volume, in a record or in the replica's state.
inline constexpr std::size_t kLargestReservationState = 32 << 10;
inline constexpr std::size_t kMostRecordsInBatch = 1024;
// Pieces of memory one batch is gathered from; with the header they fit into one system call
// (IOV_MAX is 1024).
inline constexpr std::size_t kMostSlicesInBatch = 1023;

}  // namespace ashlar::engine
