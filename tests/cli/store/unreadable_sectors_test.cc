// What a disk refuses to read is damage with a place, not the end of the inspection. Bits that
// turned are planted in tests/e2e/store_tool, on real files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/store/layer_scan.h"
#include "cli/store/log_view.h"
#include "tests/engine/store_lab.h"

namespace ashlar::store_tool {
namespace {

using engine::lab_uuid;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kBlock = engine::kBlockSize;
constexpr std::uint64_t kFirst = 10;
constexpr std::uint64_t kCount = 300;  // more than are read at a time

const engine::LayerId kLayer{lab_uuid<ReplicaUuid>(1), 0};

class UnreadableSectorsTest : public testing::Test {
 protected:
  void SetUp() override {
    lab_.run([](engine::StoreLab& lab) -> Task<void> {
      engine::Replica* replica = (co_await lab.make(1, 1024)).value();
      for (const std::uint64_t at : {kFirst, kFirst + kCount / 2}) {
        CO_ASSERT_OK(co_await lab.write(*replica, at, kCount / 2, 100));
      }
    });
  }
  void spoil(const std::string& file, std::uint64_t offset) {
    lab_.node.disk().make_unreadable(std::string(engine::kStoreDirectory) + "/" + file, offset);
  }
  // As verify does.
  void verify() {
    lab_.node.start([this](Runtime runtime) { return main(this, runtime); });
    ASSERT_TRUE(lab_.world.run_until([this] { return !lab_.node.is_running(); }, 3600s));
    ASSERT_TRUE(outcome_.ok()) << outcome_.error().to_string();
  }
  std::vector<std::string> places() const {
    std::vector<std::string> all;
    for (const Damage& one : damages_.kept()) {
      all.push_back(fmt::format("{} {} {}", one.file, one.offset, one.what));
    }
    return all;
  }

  engine::StoreLab lab_;
  DamageList damages_;
  std::uint64_t checked_ = 0;

 private:
  static Task<void> main(UnreadableSectorsTest* test, Runtime runtime) {
    test->outcome_ = co_await scan(test, runtime);
  }
  static Task<Result<>> scan(UnreadableSectorsTest* test, Runtime runtime) {
    BufferPool pool("test", ByteCount(16 << 20));
    Progress progress(runtime.clock);
    ASHLAR_CO_TRY_ASSIGN(
        const StoreView store,
        co_await StoreView::read(runtime, engine::kStoreDirectory, test->damages_));
    const engine::LogReader::SeeBatch ignore = [](const engine::Batch&) { return Result<>(); };
    ASHLAR_CO_TRY_ASSIGN(const std::optional<LogView> log,
                         co_await view_log(runtime, store, ignore, test->damages_, progress));
    for (const auto& [id, use] : store.layers) {
      ASHLAR_CO_TRY_ASSIGN(const std::optional<LayerFigures> layer,
                           co_await scan_layer(runtime, pool, store, id, LayerDepth::kMapAndData,
                                               test->damages_, progress));
      if (layer) test->checked_ += layer->checked_blocks;
    }
    co_return Result<>();
  }

  Result<> outcome_;
};

TEST_F(UnreadableSectorsTest, ASoundStoreHasNone) {
  verify();
  EXPECT_THAT(places(), IsEmpty());
  EXPECT_EQ(checked_, kCount);
}

TEST_F(UnreadableSectorsTest, OneOfTheDataIsOneBlock) {
  spoil(data_file(kLayer), 270 * kBlock);
  verify();
  EXPECT_THAT(places(), ElementsAre(fmt::format("{} {} block 270 cannot be read", data_file(kLayer),
                                                270 * kBlock)));
  EXPECT_EQ(checked_, kCount) << "its neighbours were compared";
}

TEST_F(UnreadableSectorsTest, OneOfTheMapIsAPage) {
  spoil(map_file(kLayer), kBlock);
  verify();
  EXPECT_THAT(places(), ElementsAre(HasSubstr("4096 the map page of chunks 0 to 47 is lost: it "
                                              "cannot be read")));
}

TEST_F(UnreadableSectorsTest, ThatOfTheSummaryHidesNoPage) {
  spoil(map_file(kLayer), 0);
  verify();
  EXPECT_EQ(damages_.count(), 8u) << "a sector each";
  EXPECT_EQ(checked_, kCount);
}

TEST_F(UnreadableSectorsTest, OneOfASlotIsThatSlot) {
  spoil("superblock", kBlock);
  verify();
  EXPECT_THAT(places(), ElementsAre("superblock 4096 slot 1 cannot be read"));
}

}  // namespace
}  // namespace ashlar::store_tool
