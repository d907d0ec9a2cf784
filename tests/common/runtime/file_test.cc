#include "common/runtime/file.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/runtime/task_scope.h"
#include "tests/support/aligned_bytes.h"
#include "tests/support/connected_pair.h"
#include "tests/support/expect.h"
#include "tests/support/runtime_harness.h"

namespace ashlar {
namespace {

using test::AlignedBytes;
using test::outcome_of;

constexpr std::size_t kBlock = kDiskAlignment;

class FileTest : public test::RuntimeTest {};

TEST_P(FileTest, ReadsBackWhatWasWrittenWithEveryDurability) {
  run(
      [](Runtime runtime, std::string directory, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        std::uint64_t offset = 0;
        for (const Durability durability :
             {Durability::kNone, Durability::kDsync, Durability::kWriteThenSync}) {
          const AlignedBytes bytes(3 * kBlock, seed + offset);
          CO_ASSERT_OK(co_await file->write(offset, bytes.span(), durability));
          AlignedBytes back(bytes.size());
          CO_ASSERT_OK(co_await file->read(offset, back.span()));
          EXPECT_TRUE(back == bytes);
          offset += bytes.size();
        }
        CO_ASSERT_OK(co_await file->sync());
        CO_ASSERT_OK_ASSIGN(const ByteCount size, co_await file->size());
        EXPECT_EQ(size, ByteCount(offset));
      },
      directory(), seed());
}

TEST_P(FileTest, ABufferTravelsFromTheSocketToTheDiskWithoutACopy) {
  run(
      [](Runtime runtime, std::string directory, Endpoint address,
         std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(const test::ConnectedPair pair,
                            co_await test::make_connected_pair(runtime, address));
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        BufferPool pool("test", ByteCount(4) * (1U << 20));
        const AlignedBytes sent(4 * kBlock, seed);
        CO_ASSERT_OK(co_await pair.client->send(sent.span()));

        CO_ASSERT_OK_ASSIGN(Buffer buffer, pool.allocate(ByteCount(sent.size())));
        for (std::size_t filled = 0; filled < buffer.bytes().size();) {
          CO_ASSERT_OK_ASSIGN(const std::size_t received,
                              co_await pair.server->receive(buffer.bytes().subspan(filled)));
          CO_ASSERT_TRUE(received > 0);
          filled += received;
        }
        // Two of its blocks go to different places, each from where the socket left it.
        const Buffer tail = buffer.slice(2 * kBlock, 2 * kBlock);
        CO_ASSERT_OK(co_await file->write(0, buffer.bytes().first(2 * kBlock), Durability::kDsync));
        buffer.reset();
        CO_ASSERT_OK(co_await file->write(4 * kBlock, tail.bytes(), Durability::kDsync));

        AlignedBytes back(2 * kBlock);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(std::ranges::equal(back.span(), sent.span().first(2 * kBlock)));
        CO_ASSERT_OK(co_await file->read(4 * kBlock, back.span()));
        EXPECT_TRUE(std::ranges::equal(back.span(), sent.span().subspan(2 * kBlock)));
      },
      directory(), harness_->address(), seed());
}

TEST_P(FileTest, OverwritesInPlaceAndOnlyThere) {
  run(
      [](Runtime runtime, std::string directory, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        AlignedBytes expected(4 * kBlock, seed);
        CO_ASSERT_OK(co_await file->write(0, expected.span(), Durability::kNone));
        const AlignedBytes patch(kBlock, seed + 1);
        CO_ASSERT_OK(co_await file->write(2 * kBlock, patch.span(), Durability::kNone));
        std::memcpy(expected.part(2 * kBlock, kBlock).data(), patch.span().data(), kBlock);
        AlignedBytes back(4 * kBlock);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == expected);
      },
      directory(), seed());
}

// 1500 slices are more than one system call takes (IOV_MAX is 1024).
TEST_P(FileTest, TransfersScatterListsOfAnyLength) {
  run(
      [](Runtime runtime, std::string directory, std::uint64_t seed) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        for (const std::size_t count : {1u, 3u, 1500u}) {
          for (const Durability durability :
               {Durability::kNone, Durability::kDsync, Durability::kWriteThenSync}) {
            // Slices of one and two blocks, in memory in the opposite order.
            AlignedBytes from(count * 2 * kBlock, seed++);
            AlignedBytes into(count * 2 * kBlock);
            std::vector<ConstIoSlice> sources;
            std::vector<IoSlice> targets;
            std::size_t total = 0;
            for (std::size_t i = count; i-- > 0;) {
              const std::size_t size = i % 2 == 0 ? kBlock : 2 * kBlock;
              sources.emplace_back(ByteSpan(from.part(i * 2 * kBlock, size)));
              targets.emplace_back(into.part(i * 2 * kBlock, size));
              if (size == kBlock) {  // what is between the slices is not theirs
                std::memset(from.part(i * 2 * kBlock + kBlock, kBlock).data(), 0, kBlock);
              }
              total += size;
            }
            CO_ASSERT_OK(co_await file->write(kBlock, sources, durability));
            CO_ASSERT_OK(co_await file->read(kBlock, targets));
            EXPECT_TRUE(into == from) << count << " slices";
            AlignedBytes flat(total);
            CO_ASSERT_OK(co_await file->read(kBlock, flat.span()));
            std::size_t at = 0;
            bool same = true;
            for (const ConstIoSlice& source : sources) {
              same = same &&
                     std::memcmp(flat.part(at, source.size).data(), source.data, source.size) == 0;
              at += source.size;
            }
            EXPECT_TRUE(same) << count << " slices, read as one";
          }
        }
      },
      directory(), seed());
}

TEST_P(FileTest, AReadThatReachesBeyondTheEndIsOutOfRange) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        AlignedBytes bytes(2 * kBlock, 1);
        EXPECT_EQ(outcome_of(co_await file->read(0, bytes.part(0, kBlock))), "OUT_OF_RANGE");
        CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
        EXPECT_EQ(outcome_of(co_await file->read(0, bytes.span())), "OK");
        EXPECT_EQ(outcome_of(co_await file->read(kBlock, bytes.span())), "OUT_OF_RANGE");
        EXPECT_EQ(outcome_of(co_await file->read(2 * kBlock, bytes.span())), "OUT_OF_RANGE");
        EXPECT_EQ(outcome_of(co_await file->read(100 * kBlock, bytes.span())), "OUT_OF_RANGE");
        const IoSlice slices[] = {IoSlice(bytes.part(0, kBlock)),
                                  IoSlice(bytes.part(kBlock, kBlock))};
        EXPECT_EQ(outcome_of(co_await file->read(kBlock, slices)), "OUT_OF_RANGE");
      },
      directory());
}

TEST_P(FileTest, AHoleReadsAsZeros) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        const AlignedBytes bytes(kBlock, 1);
        CO_ASSERT_OK(co_await file->write(10 * kBlock, bytes.span(), Durability::kNone));
        CO_ASSERT_OK_ASSIGN(const ByteCount size, co_await file->size());
        EXPECT_EQ(size, ByteCount(11 * kBlock));
        AlignedBytes back(10 * kBlock, 2);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back.is_zero());
      },
      directory());
}

TEST_P(FileTest, AllocateReservesSpaceThatReadsAsZeros) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        CO_ASSERT_OK(co_await file->allocate(kBlock, 1 << 20));
        CO_ASSERT_OK_ASSIGN(const ByteCount size, co_await file->size());
        EXPECT_EQ(size, ByteCount(kBlock + (1 << 20)));
        CO_ASSERT_OK_ASSIGN(const ByteCount allocated, co_await file->allocated());
        EXPECT_GE(allocated, ByteCount(1 << 20));
        AlignedBytes back(size.value(), 1);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back.is_zero());
      },
      directory());
}

TEST_P(FileTest, AllocateLeavesWhatIsThereAlone) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        const AlignedBytes bytes(4 * kBlock, 1);
        CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
        CO_ASSERT_OK(co_await file->allocate(0, 2 * kBlock));
        AlignedBytes back(4 * kBlock);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == bytes);
      },
      directory());
}

TEST_P(FileTest, PunchGivesTheSpaceBackAndLeavesZerosAndTheSize) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        constexpr std::size_t kSize = 1 << 20;
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        AlignedBytes expected(kSize, 1);
        CO_ASSERT_OK(co_await file->write(0, expected.span(), Durability::kDsync));
        CO_ASSERT_OK_ASSIGN(const ByteCount before, co_await file->allocated());
        CO_ASSERT_OK(co_await file->punch(kSize / 4, kSize / 2));
        CO_ASSERT_OK_ASSIGN(const ByteCount after, co_await file->allocated());
        EXPECT_LE(after, before - ByteCount(kSize / 2 - kBlock));
        CO_ASSERT_OK_ASSIGN(const ByteCount size, co_await file->size());
        EXPECT_EQ(size, ByteCount(kSize));
        std::memset(expected.part(kSize / 4, kSize / 2).data(), 0, kSize / 2);
        AlignedBytes back(kSize);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == expected);
        // Beyond the end it changes nothing.
        CO_ASSERT_OK(co_await file->punch(kSize, kSize));
        CO_ASSERT_OK_ASSIGN(const ByteCount still, co_await file->size());
        EXPECT_EQ(still, ByteCount(kSize));
      },
      directory());
}

TEST_P(FileTest, ResizeCutsAndExtendsWithZeros) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        AlignedBytes expected(4 * kBlock, 1);
        CO_ASSERT_OK(co_await file->write(0, expected.span(), Durability::kNone));
        CO_ASSERT_OK(co_await file->resize(ByteCount(2 * kBlock)));
        CO_ASSERT_OK_ASSIGN(const ByteCount cut, co_await file->size());
        EXPECT_EQ(cut, ByteCount(2 * kBlock));
        AlignedBytes back(4 * kBlock);
        EXPECT_EQ(outcome_of(co_await file->read(0, back.span())), "OUT_OF_RANGE");
        CO_ASSERT_OK(co_await file->resize(ByteCount(4 * kBlock)));
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        std::memset(expected.part(2 * kBlock, 2 * kBlock).data(), 0, 2 * kBlock);
        EXPECT_TRUE(back == expected) << "what was cut off does not come back";
      },
      directory());
}

TEST_P(FileTest, WhatIsMisalignedIsRefused) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        AlignedBytes expected(4 * kBlock, 1);
        CO_ASSERT_OK(co_await file->write(0, expected.span(), Durability::kNone));
        AlignedBytes bytes(4 * kBlock, 2);
        // 512 is what many disks would take; a server moved to one that does not must not find out.
        for (const std::size_t off : {1u, 100u, 512u}) {
          const MutableByteSpan shifted = bytes.part(off, kBlock);
          const MutableByteSpan shorter = bytes.part(0, kBlock - off);
          const MutableByteSpan whole = bytes.part(0, kBlock);
          EXPECT_EQ(outcome_of(co_await file->read(0, shifted)), "INVALID_ARGUMENT") << off;
          EXPECT_EQ(outcome_of(co_await file->read(0, shorter)), "INVALID_ARGUMENT") << off;
          EXPECT_EQ(outcome_of(co_await file->read(off, whole)), "INVALID_ARGUMENT") << off;
          EXPECT_EQ(outcome_of(co_await file->write(0, shifted, Durability::kNone)),
                    "INVALID_ARGUMENT")
              << off;
          EXPECT_EQ(outcome_of(co_await file->write(0, shorter, Durability::kDsync)),
                    "INVALID_ARGUMENT")
              << off;
          EXPECT_EQ(outcome_of(co_await file->write(off, whole, Durability::kWriteThenSync)),
                    "INVALID_ARGUMENT")
              << off;
          EXPECT_EQ(outcome_of(co_await file->punch(off, kBlock)), "INVALID_ARGUMENT") << off;
          EXPECT_EQ(outcome_of(co_await file->allocate(0, off)), "INVALID_ARGUMENT") << off;
          EXPECT_EQ(outcome_of(co_await file->resize(ByteCount(off))), "INVALID_ARGUMENT") << off;
          const IoSlice slices[] = {IoSlice(whole), IoSlice(bytes.part(2 * kBlock, off))};
          EXPECT_EQ(outcome_of(co_await file->read(0, slices)), "INVALID_ARGUMENT") << off;
        }
        AlignedBytes back(4 * kBlock);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == expected);
      },
      directory());
}

TEST_P(FileTest, OpenModesSayWhatMayBeThere) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        const std::string path = directory + "/f";
        EXPECT_EQ(outcome_of(co_await runtime.files.open(path, OpenMode::kExisting)), "NOT_FOUND");
        EXPECT_EQ(outcome_of(co_await runtime.files.open(path, OpenMode::kReadOnly)), "NOT_FOUND");
        const AlignedBytes bytes(kBlock, 1);
        {
          CO_ASSERT_OK_ASSIGN(auto file, co_await runtime.files.open(path, OpenMode::kCreateNew));
          EXPECT_EQ(file->path(), path);
          CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
        }
        EXPECT_EQ(outcome_of(co_await runtime.files.open(path, OpenMode::kCreateNew)),
                  "ALREADY_EXISTS");
        for (const OpenMode mode : {OpenMode::kReadOnly, OpenMode::kExisting, OpenMode::kCreate}) {
          CO_ASSERT_OK_ASSIGN(auto file, co_await runtime.files.open(path, mode));
          CO_ASSERT_OK_ASSIGN(const ByteCount size, co_await file->size());
          EXPECT_EQ(size, ByteCount(kBlock)) << "opening does not empty a file";
        }
        EXPECT_EQ(outcome_of(co_await runtime.files.open(directory + "/g", OpenMode::kCreate)),
                  "OK");
        EXPECT_EQ(outcome_of(co_await runtime.files.open(directory + "/no/g", OpenMode::kCreate)),
                  "NOT_FOUND");
      },
      directory());
}

TEST_P(FileTest, WhatIsOpenForReadingIsOnlyRead) {
  enum class Change { kNone, kWrite };
  constexpr auto kMain = [](Runtime runtime, std::string directory, Change change) -> Task<void> {
    const std::string path = directory + "/f";
    const AlignedBytes bytes(kBlock, 1);
    {
      CO_ASSERT_OK_ASSIGN(auto file, co_await runtime.files.open(path, OpenMode::kCreate));
      CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
    }
    CO_ASSERT_OK_ASSIGN(auto file, co_await runtime.files.open(path, OpenMode::kReadOnly));
    AlignedBytes back(kBlock);
    CO_ASSERT_OK(co_await file->read(0, back.span()));
    EXPECT_TRUE(back == bytes);
    if (change == Change::kWrite) (void)co_await file->write(0, bytes.span(), Durability::kNone);
  };
  run(kMain, directory(), Change::kNone);
  // A real one would leave its directory behind when it dies.
  if (GetParam() == test::Backend::kUring) return;
  EXPECT_DEATH(run(kMain, directory(), Change::kWrite), "is only read");
}

TEST_P(FileTest, RenameReplacesWhatIsThere) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        FileSystem& files = runtime.files;
        const std::string a = directory + "/a";
        const std::string b = directory + "/b";
        const AlignedBytes bytes(kBlock, 1);
        {
          CO_ASSERT_OK_ASSIGN(auto file, co_await files.open(a, OpenMode::kCreateNew));
          CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
          CO_ASSERT_OK(co_await files.open(b, OpenMode::kCreateNew));
        }
        CO_ASSERT_OK(co_await files.rename(a, b));
        EXPECT_EQ(outcome_of(co_await files.open(a, OpenMode::kExisting)), "NOT_FOUND");
        CO_ASSERT_OK_ASSIGN(auto file, co_await files.open(b, OpenMode::kExisting));
        AlignedBytes back(kBlock);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == bytes);
        EXPECT_EQ(outcome_of(co_await files.rename(a, b)), "NOT_FOUND");
        AlignedBytes again(kBlock);
        CO_ASSERT_OK(co_await file->read(0, again.span()));
        EXPECT_TRUE(again == bytes) << "a rename that failed changes nothing";
      },
      directory());
}

TEST_P(FileTest, ARemovedFileLivesOnForWhoeverHasItOpen) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        const std::string path = directory + "/f";
        CO_ASSERT_OK_ASSIGN(auto file, co_await runtime.files.open(path, OpenMode::kCreateNew));
        const AlignedBytes bytes(kBlock, 1);
        CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
        CO_ASSERT_OK(co_await runtime.files.remove(path));
        EXPECT_EQ(outcome_of(co_await runtime.files.open(path, OpenMode::kExisting)), "NOT_FOUND");
        EXPECT_EQ(outcome_of(co_await runtime.files.remove(path)), "NOT_FOUND");
        AlignedBytes back(kBlock);
        CO_ASSERT_OK(co_await file->read(0, back.span()));
        EXPECT_TRUE(back == bytes);
      },
      directory());
}

TEST_P(FileTest, DirectoriesAreMadeListedInOrderAndRemovedWhenEmpty) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        FileSystem& files = runtime.files;
        CO_ASSERT_OK_ASSIGN(const auto empty, co_await files.list(directory));
        EXPECT_TRUE(empty.empty());
        const std::string inner = directory + "/dir";
        CO_ASSERT_OK(co_await files.make_directory(inner));
        EXPECT_EQ(outcome_of(co_await files.make_directory(inner)), "ALREADY_EXISTS");
        EXPECT_EQ(outcome_of(co_await files.make_directory(directory + "/no/dir")), "NOT_FOUND");
        for (const char* name : {"b", "c", "a", "B", "10", "9"}) {
          CO_ASSERT_OK(co_await files.open(directory + "/" + name, OpenMode::kCreateNew));
        }
        CO_ASSERT_OK(co_await files.open(inner + "/x", OpenMode::kCreateNew));
        CO_ASSERT_OK_ASSIGN(const auto entries, co_await files.list(directory));
        const std::vector<DirectoryEntry> expected = {{"10", false}, {"9", false}, {"B", false},
                                                      {"a", false},  {"b", false}, {"c", false},
                                                      {"dir", true}};
        EXPECT_TRUE(entries == expected);
        CO_ASSERT_OK_ASSIGN(const auto inside, co_await files.list(inner));
        EXPECT_TRUE(inside == (std::vector<DirectoryEntry>{{"x", false}}));
        EXPECT_EQ(outcome_of(co_await files.remove_directory(inner)), "FAILED_PRECONDITION");
        CO_ASSERT_OK(co_await files.remove(inner + "/x"));
        CO_ASSERT_OK(co_await files.sync_directory(inner));
        CO_ASSERT_OK(co_await files.remove_directory(inner));
        EXPECT_EQ(outcome_of(co_await files.remove_directory(inner)), "NOT_FOUND");
        EXPECT_EQ(outcome_of(co_await files.list(inner)), "NOT_FOUND");
        EXPECT_EQ(outcome_of(co_await files.sync_directory(inner)), "NOT_FOUND");
        CO_ASSERT_OK(co_await files.sync_directory(directory));
      },
      directory());
}

TEST_P(FileTest, ALockKeepsOthersOutForAsLongAsTheFileIsOpen) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        const std::string path = directory + "/f";
        CO_ASSERT_OK_ASSIGN(auto second, co_await runtime.files.open(path, OpenMode::kCreateNew));
        {
          CO_ASSERT_OK_ASSIGN(auto first, co_await runtime.files.open(path, OpenMode::kExisting));
          CO_ASSERT_OK(co_await first->lock());
          EXPECT_EQ(outcome_of(co_await second->lock()), "FAILED_PRECONDITION");
          EXPECT_EQ(outcome_of(co_await first->lock()), "OK") << "it is its own already";
        }
        CO_ASSERT_OK(co_await second->lock());
      },
      directory());
}

TEST_P(FileTest, SpaceIsWhatTheFileSystemHas) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(const FileSystemSpace space, co_await runtime.files.space(directory));
        EXPECT_GT(space.total, ByteCount(0));
        EXPECT_GT(space.available, ByteCount(0));
        EXPECT_LE(space.available, space.total);
        EXPECT_EQ(outcome_of(co_await runtime.files.space(directory + "/no")), "NOT_FOUND");
      },
      directory());
}

TEST_P(FileTest, ManyWritesAtOnceAllLandWhereTheyBelong) {
  run(
      [](Runtime runtime, std::string directory, std::uint64_t seed) -> Task<void> {
        constexpr auto kWrite = [](File& file, std::uint64_t index,
                                   std::uint64_t own_seed) -> Task<Result<>> {
          const AlignedBytes bytes(2 * kBlock, own_seed);
          const auto durability = static_cast<Durability>(index % 3);
          co_return co_await file.write(index * 2 * kBlock, bytes.span(), durability);
        };
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        TaskScope scope(co_await this_task());
        for (std::uint64_t i = 0; i < 64; ++i) scope.spawn(kWrite(*file, i, seed + i));
        CO_ASSERT_OK(co_await scope.join());
        CO_ASSERT_OK(co_await file->sync());
        for (std::uint64_t i = 0; i < 64; ++i) {
          AlignedBytes back(2 * kBlock);
          CO_ASSERT_OK(co_await file->read(i * 2 * kBlock, back.span()));
          EXPECT_TRUE(back == AlignedBytes(2 * kBlock, seed + i)) << i;
        }
      },
      directory(), seed());
}

TEST_P(FileTest, MoreOperationsThanTheRingHasEntriesAllFinish) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        constexpr auto kRead = [](File& file, std::uint64_t index, int& done) -> Task<Result<>> {
          AlignedBytes bytes(kBlock);
          ASHLAR_CO_TRY(co_await file.read(index % 16 * kBlock, bytes.span()));
          ++done;
          co_return Result<>();
        };
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        const AlignedBytes bytes(16 * kBlock, 1);
        CO_ASSERT_OK(co_await file->write(0, bytes.span(), Durability::kNone));
        int done = 0;
        TaskScope scope(co_await this_task());
        for (std::uint64_t i = 0; i < 5000; ++i) scope.spawn(kRead(*file, i, done));
        CO_ASSERT_OK(co_await scope.join());
        EXPECT_EQ(done, 5000);
      },
      directory());
}

TEST_P(FileTest, ATransferOfNothingIsFine) {
  run(
      [](Runtime runtime, std::string directory) -> Task<void> {
        CO_ASSERT_OK_ASSIGN(auto file,
                            co_await runtime.files.open(directory + "/f", OpenMode::kCreateNew));
        EXPECT_EQ(outcome_of(co_await file->write(0, ByteSpan(), Durability::kNone)), "OK");
        EXPECT_EQ(outcome_of(co_await file->read(0, MutableByteSpan())), "OK");
        EXPECT_EQ(outcome_of(co_await file->write(0, std::span<const ConstIoSlice>(),
                                                  Durability::kWriteThenSync)),
                  "OK");
        EXPECT_EQ(outcome_of(co_await file->write(0, ByteSpan(), Durability::kDsync)), "OK");
      },
      directory());
}

INSTANTIATE_ON_BOTH_RUNTIMES(FileTest);

}  // namespace
}  // namespace ashlar
